"""Settings: where they come from, which wins, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.config.settings import load_settings
from refrain.streams.errors import WrongSetup


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(environ: dict[str, str], config: Path | None = None) -> list[str]:
    """The lines of what load_settings says of a mistake."""
    with pytest.raises(WrongSetup) as caught:
        load_settings(environ, config)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_source_the_defaults_hold() -> None:
    assert load_settings({}).kafka == "localhost:9092"


def test_the_environment_sets_nested_keys() -> None:
    found = load_settings(
        {"REFRAIN_KAFKA": "k:1", "REFRAIN_UPSTREAM__BASE_URL": "http://m/v1", "REFRAIN_HTTP__PORT": "9"}
    )
    assert (found.kafka, found.upstream.base_url, found.http.port) == ("k:1", "http://m/v1", 9)


def test_the_environment_wins_over_the_file() -> None:
    config = write("other.toml", 'kafka = "file:1"\n[upstream]\nconcurrency = 3\nretries = 1\n')
    found = load_settings({"REFRAIN_KAFKA": "env:1", "REFRAIN_UPSTREAM__RETRIES": "2"}, config)
    assert (found.kafka, found.upstream.concurrency, found.upstream.retries) == ("env:1", 3, 2)


def test_a_file_in_the_folder_is_found_before_the_one_in_local() -> None:
    write(".local/refrain.toml", 'kafka = "local:1"')
    assert load_settings({}).kafka == "local:1"
    write("refrain.toml", 'kafka = "here:1"')
    assert load_settings({}).kafka == "here:1"
    write("named.toml", 'kafka = "named:1"')
    assert load_settings({"REFRAIN_CONFIG": "named.toml"}).kafka == "named:1"


def test_a_named_file_that_is_missing_is_said_with_who_named_it() -> None:
    with pytest.raises(WrongSetup, match=r"REFRAIN_CONFIG names nowhere\.toml"):
        load_settings({"REFRAIN_CONFIG": "nowhere.toml"})


def test_every_mistake_has_a_line_that_names_key_and_source() -> None:
    config = write("bad.toml", "[upstream]\nconcurency = 3\ntimeout_ms = 0\n")
    lines = refusal({"REFRAIN_LOG_LEVEL": "LOUD", "REFRAIN_KAFFKA": "k:1"}, config)
    assert lines[0] == "REFRAIN_KAFFKA: no such setting; did you mean REFRAIN_KAFKA?"
    assert "bad.toml: upstream.concurency: no such key; did you mean concurrency?" in lines
    assert "bad.toml: upstream.timeout_ms: input should be greater than or equal to 1 (it is 0)" in lines
    assert any(line.startswith("REFRAIN_LOG_LEVEL: input should be 'DEBUG'") for line in lines)
    assert len(lines) == 4


def test_a_value_of_several_types_is_told_once_with_what_each_wants() -> None:
    with pytest.raises(WrongSetup) as caught:
        load_settings({"REFRAIN_EMBEDDING__THREADS": "-4"})
    (_, line) = str(caught.value).splitlines()
    assert line == ("  REFRAIN_EMBEDDING__THREADS: input should be greater than or equal to 1, or 'auto' (it is '-4')")


def test_a_file_that_is_not_toml_is_named_with_the_line() -> None:
    (line,) = refusal({}, write("bad.toml", "kafka = \n"))
    assert line.startswith("bad.toml: not TOML:")
    assert "line 1" in line


def test_lists_and_tables_of_the_environment_are_json() -> None:
    found = load_settings(
        {"REFRAIN_CLASSIFY__REPLY_TOPICS": '["a.*"]', "REFRAIN_CONNECTION": '{"ssl.ca.location": "c"}'}
    )
    assert found.classify.reply_topics == ("a.*",)
    assert found.connection["ssl.ca.location"].get_secret_value() == "c"
    assert refusal({"REFRAIN_CONNECTION": "{"}) == [
        'REFRAIN_CONNECTION: expected JSON, such as \'{"security.protocol": "SASL_SSL"}\''
    ]


def test_connection_keys_have_dots_and_values_may_be_numbers() -> None:
    config = write("c.toml", '[connection]\n"sasl.username" = "u"\n"socket.timeout.ms" = 1000\n"x" = false\n')
    found = load_settings({"REFRAIN_CONNECTION": '{"sasl.username": "v"}'}, config)
    plain = {key: value.get_secret_value() for key, value in found.connection.items()}
    assert plain == {"sasl.username": "v", "socket.timeout.ms": "1000", "x": "false"}


def test_secrets_may_stand_in_files_beside_the_config() -> None:
    write("folder/pw", "hunter2\n")
    config = write("folder/c.toml", '[connection]\n"sasl.password_file" = "pw"\n')
    found = load_settings({"REFRAIN_UPSTREAM__API_KEY_FILE": "folder/pw"}, config)
    assert found.connection["sasl.password"].get_secret_value() == "hunter2"
    assert found.upstream.api_key is not None
    assert found.upstream.api_key.get_secret_value() == "hunter2"


def test_a_secret_that_stands_in_two_places_is_a_mistake() -> None:
    write("pw", "x")
    lines = refusal({"REFRAIN_UPSTREAM__API_KEY_FILE": "pw", "REFRAIN_UPSTREAM__API_KEY": "y"})
    assert lines == [
        "the environment: upstream.api_key_file: upstream.api_key is set as well; keep one of them",
    ]


def test_a_secret_file_that_cannot_be_read_is_named() -> None:
    (line,) = refusal({"REFRAIN_UPSTREAM__API_KEY_FILE": "missing"})
    assert line == "the environment: upstream.api_key_file: cannot read missing: No such file or directory"


def test_secrets_are_never_shown() -> None:
    found = load_settings(
        {"REFRAIN_UPSTREAM__API_KEY": "hunter2", "REFRAIN_CONNECTION": '{"sasl.password": "hunter2"}'}
    )
    assert "hunter2" not in repr(found)
    assert not any("hunter2" in line for line in refusal({"REFRAIN_CONNECTION": '{"sasl.password": ["hunter2"]}'}))


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("broker:9092", True), ("broker", True), ("a:1,b:2", True), ("a:1, b:2", True), ("[::1]:9092", True),
        ("SASL_SSL://broker:9092", True), ("10.0.0.1:65535", True), ("kafka_1:9092", True),
        ("", False), (",", False), ("a:1,", False), ("http://broker:9092", False), ("kafka://broker:9092", False),
        ("broker:99999", False), ("broker:0", False), ("broker:", False), ("broker:abc", False), ("a b", False),
        ("broker:9092/x", False), ("a:1;b:2", False), ("a:1 b:2", False), ("::1:9092", False),
    ],
)  # fmt: skip
def test_a_broker_is_host_and_port(value: str, taken: bool) -> None:
    if taken:
        assert load_settings({"REFRAIN_KAFKA": value}).kafka == value
    else:
        (line,) = refusal({"REFRAIN_KAFKA": value})
        assert line.startswith("REFRAIN_KAFKA: must be host:port, with commas between several")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("127.0.0.1:8000", "with http:// or https://"), ("localhost/v1", "with http:// or https://"), ("", "http://"),
        ("http://", "http://"), ("ftp://m/v1", "http://"), ("http://m:abc/v1", "http://"), ("http:/m/v1", "http://"),
        ("http://m/v1/chat/completions", "without /chat/completions"),
        ("http://m/v1/chat/completions/", "without /chat/completions"),
    ],
)  # fmt: skip
def test_a_models_server_is_named_by_its_root(value: str, said: str) -> None:
    (line,) = refusal({"REFRAIN_UPSTREAM__BASE_URL": value})
    assert line.startswith("REFRAIN_UPSTREAM__BASE_URL: must be the server's root")
    assert said in line


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EDGE__TIMEOUT_MS", "30s", "must be a whole number of milliseconds, such as 30000 (it is '30s')"),
        ("EDGE__TIMEOUT_MS", "2 min", "must be a whole number of milliseconds, such as 30000 (it is '2 min')"),
        ("EDGE__TIMEOUT_MS", "soon", "must be a whole number of milliseconds, such as 30000 (it is 'soon')"),
        ("EDGE__TIMEOUT_MS", "", "must be a whole number of milliseconds, such as 30000 (it is '')"),
        ("EDGE__TIMEOUT_MS", "1.5", "must be a whole number of milliseconds, such as 30000 (it is '1.5')"),
        ("EDGE__BODY_BYTES_MAX", "1MB", "must be a whole number of bytes (it is '1MB')"),
        ("EDGE__PORT", "abc", "must be a whole number (it is 'abc')"),
    ],
)
def test_a_number_that_is_none_is_told_in_its_unit(variable: str, value: str, said: str) -> None:
    assert refusal({f"REFRAIN_{variable}": value}) == [f"REFRAIN_{variable}: {said}"]
