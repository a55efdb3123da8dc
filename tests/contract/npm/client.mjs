// OpenAI's client for Node against the server at ATTEST_URL: `node client.mjs PART` prints what came back as JSON.

import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: `${process.env.ATTEST_URL}/v1`, apiKey: process.env.ATTEST_KEY, maxRetries: 0 });
const question = "What is the zebra fee?";
const messages = [{ role: "user", content: question }];

const parts = {
  async chat() {
    const whole = await client.chat.completions.create({ model: "default", messages });
    const chunks = [];
    const stream = await client.chat.completions.create({
      model: "default",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    const gathered = client.chat.completions.stream({ model: "default", messages });
    const deltas = [];
    gathered.on("content", (delta) => deltas.push(delta));
    const final = await gathered.finalChatCompletion();
    return { whole, chunks, deltas, final };
  },

  async responses() {
    const tools = [{ type: "file_search", vector_store_ids: ["default"] }];
    const include = ["file_search_call.results"];
    const whole = await client.responses.create({ model: "default", input: question, tools, include });
    const events = [];
    const stream = await client.responses.create({ model: "default", input: question, tools, stream: true });
    for await (const event of stream) events.push(event);
    const next = await client.responses.create({
      model: "default",
      input: "How much is it?",
      previous_response_id: whole.id,
    });
    const kept = await client.responses.retrieve(whole.id);
    return { whole, output_text: whole.output_text, events, next: next.output_text, kept: kept.output_text };
  },

  async embeddings() {
    const input = ["zebra fee", "中国的首都"];
    const packed = await client.embeddings.create({ model: "any", input }); // the client asks for base64 by itself
    const plain = await client.embeddings.create({ model: "any", input, encoding_format: "float" });
    return { packed, plain };
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, one: await client.models.retrieve("default") };
  },

  async stores() {
    const store = await client.vectorStores.create({ name: "Zebra files", metadata: { team: "zoo" } });
    const upload = await toFile(Buffer.from("The zebra fee is 30 euros."), "fees.txt");
    const file = await client.files.create({ file: upload, purpose: "assistants" });
    const attached = await client.vectorStores.files.createAndPoll(
      store.id,
      { file_id: file.id, attributes: { year: 2024 } },
      { pollIntervalMs: 20 },
    );
    const more = await Promise.all(
      ["one", "two"].map((name) => toFile(Buffer.from(`The ${name} zebra has stripes.`), `${name}.txt`)),
    );
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(
      store.id,
      { files: more },
      { pollIntervalMs: 20 },
    );
    const found = await client.vectorStores.search(store.id, {
      query: "zebra fee",
      filters: { type: "eq", key: "year", value: 2024 },
    });
    const content = await (await client.files.content(file.id)).text();
    const listed = [];
    for await (const one of client.vectorStores.files.list(store.id, { limit: 2 })) listed.push(one.id);
    const uploaded = [];
    for await (const one of client.files.list()) uploaded.push(one.filename);
    const gone = [await client.vectorStores.files.delete(file.id, { vector_store_id: store.id })];
    gone.push(await client.files.delete(file.id), await client.vectorStores.delete(store.id));
    return { store, file, attached, batch, found: found.data, content, listed, uploaded, gone };
  },

  async errors() {
    const told = [];
    const wrong = new OpenAI({ baseURL: client.baseURL, apiKey: "wrong", maxRetries: 0 });
    for (const call of [
      () => wrong.models.list(),
      () => client.chat.completions.create({ model: "nobody", messages }),
      () => client.chat.completions.create({ model: "default", messages: [] }),
      () => client.files.retrieve("file_none"),
    ]) {
      try {
        await call();
        told.push(null);
      } catch (error) {
        told.push({ kind: error.constructor.name, status: error.status, code: error.code, param: error.param });
      }
    }
    return { told };
  },
};

console.log(JSON.stringify(await parts[process.argv[2]]()));
