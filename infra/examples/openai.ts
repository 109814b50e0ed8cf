// Asks the endpoint by OpenAI's own client: one question, and the same as a stream. `npm install openai tsx` first.
//
//   OPENAI_BASE_URL=http://127.0.0.1:8400/v1 OPENAI_API_KEY=sk-refrain-... npx tsx openai.ts "How do I ...?"

import OpenAI from "openai";

async function main(question: string): Promise<void> {
  // Base URL and key come from the environment: for an application nothing else changes.
  const client = new OpenAI();
  const messages = [{ role: "user" as const, content: question }];

  const { data, response } = await client.chat.completions
    .create({ model: "gpt", messages }, { headers: { "x-refrain-tag": "example" } })
    .withResponse();
  console.log(`${response.headers.get("x-refrain-outcome")}: ${data.choices[0].message.content}`);

  const stream = await client.chat.completions.create({ model: "gpt", messages, stream: true });
  let text = "";
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  console.log(`streamed: ${text}`);
}

main(process.argv[2] ?? "How do I reverse a list in Python?").catch((problem) => {
  console.error(String(problem));
  process.exitCode = 1;
});
