// A client with franz-go alone: asks one question, prints the answer and where it came from.
//
//	cd infra/examples/go
//	go run . "How do I reverse a list in Python?"
//
// REFRAIN_KAFKA names the broker (localhost:9092), REFRAIN_PREFIX the beginning of the topics' names (refrain.).
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// All headers of a request come back with its response: by this one a client knows its own.
const header = "my-id"

const timeout = 60 * time.Second

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type body struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
}

type request struct {
	V    int  `json:"v"`
	Body body `json:"body"`
}

// What this client reads of a response; schemas/README.md has all of it.
type response struct {
	Outcome string
	Error   *struct{ Code, Message string }
	Body    struct {
		Choices []struct{ Message message }
	}
	Decision *struct{ Reason string }
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("say a question")
	}
	servers, prefix := env("REFRAIN_KAFKA", "localhost:9092"), env("REFRAIN_PREFIX", "refrain.")
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(servers, ",")...),
		// Answers that wait for a model come in transactions.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := ask(ctx, client, prefix, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if answer.Error != nil {
		log.Fatalf("%s: %s", answer.Error.Code, answer.Error.Message)
	}
	for _, choice := range answer.Body.Choices {
		fmt.Println(choice.Message.Content)
	}
	if answer.Decision != nil {
		fmt.Printf("[%s: %s]\n", answer.Outcome, answer.Decision.Reason)
	}
}

// ask gives the response to a question. A client that asks often asks with the same kgo.Client.
func ask(ctx context.Context, client *kgo.Client, prefix, question string) (*response, error) {
	// Where to read from is settled before the question goes out: its answer cannot be missed.
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, prefix+"responses")
	if err != nil {
		return nil, fmt.Errorf("the ends of %sresponses: %w", prefix, err)
	}
	if err := ends.Error(); err != nil {
		return nil, fmt.Errorf("the ends of %sresponses: %w (`refrain topics create` makes topics)", prefix, err)
	}
	client.AddConsumePartitions(ends.KOffsets())

	value, err := json.Marshal(request{1, body{"gpt", []message{{"user", question}}}})
	if err != nil {
		return nil, err
	}
	mine := rand.Text()
	record := &kgo.Record{
		Topic:   prefix + "requests",
		Value:   value,
		Headers: []kgo.RecordHeader{{Key: header, Value: []byte(mine)}},
	}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return nil, fmt.Errorf("the broker did not take the request: %w", err)
	}
	return await(ctx, client, mine)
}

// await gives the first response that carries our header.
func await(ctx context.Context, client *kgo.Client, mine string) (*response, error) {
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("no response: %w", err)
		}
		for _, record := range fetches.Records() {
			for _, each := range record.Headers {
				if each.Key == header && string(each.Value) == mine {
					var answer response
					return &answer, json.Unmarshal(record.Value, &answer)
				}
			}
		}
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
