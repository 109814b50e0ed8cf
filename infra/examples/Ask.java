// A client with kafka-clients, and Jackson for JSON: asks one question, prints the answer and where it came from.
//
//   mvn -q -f infra/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/.local/kafka/libs"
//   java -cp '.local/kafka/libs/*' infra/examples/Ask.java "How do I reverse a list in Python?"
//
// The first line fetches the jars of a broker, which hold those of a client. REFRAIN_KAFKA names the broker
// (localhost:9092), REFRAIN_PREFIX the beginning of the topics' names (refrain.). Java 17 or newer.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Ask {
    /** All headers of a request come back with its response: by this one a client knows its own. */
    static final String HEADER = "my-id";

    static final Duration TIMEOUT = Duration.ofSeconds(60);
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("say a question");
            System.exit(64);
        }
        var question = Map.of("role", "user", "content", args[0]);
        var body = Map.of("model", "gpt", "messages", List.of(question));
        JsonNode response = ask(env("REFRAIN_KAFKA", "localhost:9092"), env("REFRAIN_PREFIX", "refrain."), body);
        JsonNode error = response.path("error");
        if (error.isObject()) {
            System.err.println(error.path("code").asText() + ": " + error.path("message").asText());
            System.exit(1);
        }
        System.out.println(response.at("/body/choices/0/message/content").asText());
        System.out.printf("[%s: %s]%n", response.path("outcome").asText(), response.at("/decision/reason").asText());
    }

    /** The response to a chat-completions request. A client that asks often keeps its consumer and producer. */
    static JsonNode ask(String servers, String prefix, Map<String, ?> body) throws Exception {
        byte[] mine = UUID.randomUUID().toString().getBytes(StandardCharsets.UTF_8);
        byte[] value = JSON.writeValueAsBytes(Map.of("v", 1, "body", body));
        try (var consumer = consumer(servers)) {
            // Where to read from is settled before the question goes out: its answer cannot be missed.
            toEnds(consumer, prefix + "responses");
            send(servers, prefix + "requests", value, mine);
            return JSON.readTree(await(consumer, mine));
        }
    }

    static Consumer<byte[], byte[]> consumer(String servers) {
        var bytes = new ByteArrayDeserializer();
        // It reads in no group and keeps no position. Answers that wait for a model come in transactions.
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", servers, "isolation.level", "read_committed", "enable.auto.commit", false);
        return new KafkaConsumer<>(settings, bytes, bytes);
    }

    /** Reads on from the end of each partition of a topic. */
    static void toEnds(Consumer<byte[], byte[]> consumer, String topic) {
        List<TopicPartition> places = consumer.partitionsFor(topic).stream()
            .map(each -> new TopicPartition(topic, each.partition()))
            .toList();
        if (places.isEmpty()) {
            throw new IllegalStateException("there is no topic " + topic + ": `refrain topics create` makes it");
        }
        consumer.assign(places);
        consumer.seekToEnd(places);
        // The ends are looked up when somebody asks for the position.
        places.forEach(consumer::position);
    }

    /** Writes a request. Throws ExecutionException when the broker did not take it. */
    static void send(String servers, String topic, byte[] value, byte[] mine)
            throws InterruptedException, ExecutionException {
        var bytes = new ByteArraySerializer();
        Map<String, Object> settings = Map.of("bootstrap.servers", servers, "enable.idempotence", true);
        try (var producer = new KafkaProducer<>(settings, bytes, bytes)) {
            var record = new ProducerRecord<byte[], byte[]>(topic, value);
            record.headers().add(HEADER, mine);
            producer.send(record).get();
        }
    }

    /** The first response that carries our header. */
    static byte[] await(Consumer<byte[], byte[]> consumer, byte[] mine) throws TimeoutException {
        long until = System.nanoTime() + TIMEOUT.toNanos();
        while (System.nanoTime() < until) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                Header header = record.headers().lastHeader(HEADER);
                if (header != null && Arrays.equals(header.value(), mine)) {
                    return record.value();
                }
            }
        }
        throw new TimeoutException("no response within " + TIMEOUT.toSeconds() + " s");
    }

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
