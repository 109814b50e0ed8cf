"""`refrain topics acls`: the ACLs of every role, for whoever administers the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from refrain.ops.topics.acl_formats import Strimzi
    from refrain.ops.topics.acls import Grant
    from refrain.streams.settings import Settings


class Format(StrEnum):
    """Output format of ACLs."""

    KAFKA_ACLS = "kafka-acls"
    STRIMZI = "strimzi"


class Authentication(StrEnum):
    """Authentication of a KafkaUser."""

    SCRAM = "scram-sha-512"
    TLS = "tls"
    NONE = "none"


class Api(StrEnum):
    """The version of Strimzi's resources."""

    V1 = "v1"
    V1BETA2 = "v1beta2"


def acls(
    context: typer.Context,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="Only this one; repeat for more.", show_default=False)
    ] = None,
    principal: Annotated[
        list[str] | None,
        typer.Option(help="The user of a role, else PREFIX-ROLE.", metavar="ROLE=NAME", show_default=False),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="For which tool.")] = Format.KAFKA_ACLS,
    bootstrap_server: Annotated[
        str | None, typer.Option(help="Of kafka-acls: else the setting `kafka`.", show_default=False)
    ] = None,
    command_config: Annotated[
        str | None,
        typer.Option(help="Of kafka-acls: the file with an administrator's login.", show_default=False, metavar="FILE"),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Of Strimzi: the name of the Kafka resource.", show_default=False)
    ] = None,
    authentication: Annotated[
        Authentication, typer.Option(help="Of Strimzi: how the users log in.")
    ] = Authentication.SCRAM,
    api: Annotated[Api, typer.Option(help="Of Strimzi: v1beta2 before its release 0.49.")] = Api.V1,
    why: Annotated[
        bool, typer.Option("--why", help="The rights on topics instead, why, and what a hostile holder could do.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an ACL, or a right.")] = False,
) -> None:
    """Print the ACLs that each role needs and no more, for a cluster that denies the rest. Asks no broker.

    Roles are the processors, and outside of them clients (who ask), connectors (models of your own, in place of
    `upstream`), operators (who run these commands) and auditors (who read decisions and comparisons). Reply topics of
    `classify.reply_topics` are granted to those who write to them; to those who read them grant them yourself.

    [bold]Examples[/bold]

    refrain topics acls --command-config admin.properties > acls.sh

    refrain topics acls --role clients --principal clients=shop

    refrain topics acls --format strimzi --cluster my-cluster | kubectl apply -f -

    refrain topics acls --why --role connectors
    """
    from refrain.ops.topics.acl_formats import Strimzi, to_json
    from refrain.ops.topics.acls import grants

    strimzi = form is Format.STRIMZI and not as_json
    if strimzi and cluster is None:
        raise typer.BadParameter("--format strimzi needs the name of the Kafka resource", param_hint="--cluster")
    if cluster is not None and not strimzi:
        raise typer.BadParameter("it names the Kafka resource of --format strimzi alone", param_hint="--cluster")
    settings = settings_of(context)
    if why:
        return _print_rights(settings, _roles(role or ()), as_json)
    granted = grants(settings, _roles(role or ()), _principals(principal or ()))
    if as_json:
        for row in to_json(granted):
            output.emit(row)
    elif cluster is not None:
        login = None if authentication is Authentication.NONE else authentication.value
        _print_strimzi(granted, Strimzi(cluster, login, api.value))
    else:
        _print_kafka_acls(granted, bootstrap_server or settings.kafka, command_config)
    return None


def _print_rights(settings: Settings, roles: list[str], as_json: bool) -> None:
    from refrain.ops.topics.rights import rights_of

    rows = [(*right, [settings.prefix + topic for topic in right.topics]) for right in rights_of(roles)]
    if as_json:
        for role, operation, _, why, hostile, topics in rows:
            output.emit({"role": role, "operation": operation, "topics": topics, "why": why, "hostile": hostile})
        return
    output.table(
        ("role", "right", "topics", "why", "if hostile"),
        [(role, operation, " ".join(topics), why, hostile) for role, operation, _, why, hostile, topics in rows],
    )


def _roles(wanted: Sequence[str]) -> list[str]:
    from refrain.ops.topics.acls import chosen_roles

    try:
        return chosen_roles(wanted)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--role") from error


def _principals(pairs: Sequence[str]) -> dict[str, str]:
    from refrain.ops.topics.acls import principal_names

    try:
        return principal_names(pairs)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--principal") from error


def _print_kafka_acls(granted: list[Grant], server: str, command_config: str | None) -> None:
    from refrain.ops.topics.acl_formats import kafka_acls

    for line in kafka_acls(granted, server, command_config):
        output.say(line)


def _print_strimzi(granted: list[Grant], place: Strimzi) -> None:
    from refrain.ops.topics.acl_formats import strimzi

    output.say(strimzi(granted, place).rstrip())
