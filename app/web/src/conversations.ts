import { events, Problem } from "./api";
import { askBody, chosenCollections, options, routesChoose } from "./options";
import { Store } from "./store";
import type { Answer, AskBody, Citation, Message, Passage } from "./wire";

export interface Turn {
  id: string;
  question: string;
  askedAt: string;
  body: AskBody;
  state: "running" | "done" | "failed" | "stopped";
  stage: string;
  text: string;
  passages: Passage[];
  citations: Citation[];
  answer: Answer | null;
  error: { detail: string; status: number; requestId: string } | null;
  rating: -1 | 0 | 1;
}

export interface Conversation {
  id: string;
  title: string;
  turns: Turn[];
}

const MOST_KEPT = 40;
const MOST_TRACES = 24;
const HISTORY_MESSAGES = 20;

export const conversations = new Store<Conversation[]>([], "attest.conversations", (kept) =>
  kept.length > 1 ? kept.slice(0, -1) : kept.some((one) => one.turns.length > 1) ? kept.map((one) => ({ ...one, turns: one.turns.slice(-1) })) : null,
);
export const openConversation = new Store<string>("");
const running = new Map<string, AbortController>();

// A turn that was running when the page was left can not go on.
if (conversations.value.some((one) => one.turns.some((turn) => turn.state === "running"))) {
  conversations.update((all) =>
    all.map((one) => ({
      ...one,
      turns: one.turns.map((turn) => (turn.state === "running" ? { ...turn, state: "stopped" as const } : turn)),
    })),
  );
}

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function findTurn(id: string): { conversation: Conversation; turn: Turn } | null {
  for (const conversation of conversations.value) {
    const turn = conversation.turns.find((one) => one.id === id);
    if (turn !== undefined) return { conversation, turn };
  }
  return null;
}

export function forget(id: string): void {
  for (const turn of conversations.value.find((one) => one.id === id)?.turns ?? []) stop(turn.id);
  conversations.update((all) => all.filter((one) => one.id !== id));
  if (openConversation.value === id) openConversation.set("");
}

export function forgetAll(): void {
  for (const controller of running.values()) controller.abort();
  conversations.set([]);
  openConversation.set("");
}

export function stop(turnId: string): void {
  running.get(turnId)?.abort();
}

export function change(turnId: string, part: Partial<Turn>): void {
  conversations.update((all) =>
    all.map((one) =>
      one.turns.some((turn) => turn.id === turnId)
        ? { ...one, turns: one.turns.map((turn) => (turn.id === turnId ? { ...turn, ...part } : turn)) }
        : one,
    ),
  );
}

function historyOf(conversation: Conversation | undefined): Message[] {
  const messages: Message[] = [];
  for (const turn of conversation?.turns ?? []) {
    if (turn.state !== "done" || turn.answer === null) continue;
    messages.push({ role: "user", content: turn.question }, { role: "assistant", content: turn.answer.answer });
  }
  return messages.slice(-HISTORY_MESSAGES);
}

/** Asks in the open conversation, or in a new one; the answer streams into the turn. */
export function ask(question: string): void {
  let conversation = conversations.value.find((one) => one.id === openConversation.value);
  const where = routesChoose.value ? null : chosenCollections.value;
  const body = askBody(question, historyOf(conversation), options.value, where);
  const turn: Turn = {
    id: newId(),
    question,
    askedAt: new Date().toISOString(),
    body,
    state: "running",
    stage: "",
    text: "",
    passages: [],
    citations: [],
    answer: null,
    error: null,
    rating: 0,
  };
  if (conversation === undefined) {
    conversation = { id: newId(), title: question.slice(0, 120), turns: [turn] };
  } else {
    conversation = { ...conversation, turns: [...conversation.turns, turn] };
  }
  const asked = conversation;
  conversations.update((all) => thinned([asked, ...all.filter((one) => one.id !== asked.id)].slice(0, MOST_KEPT)));
  openConversation.set(asked.id);
  void follow(turn);
}

/** Traces and passages are large: the newest keep them, older answers keep their words and citations. */
function thinned(all: Conversation[]): Conversation[] {
  let kept = 0;
  return all.map((one) => ({
    ...one,
    turns: [...one.turns]
      .reverse()
      .map((turn) => {
        if (turn.answer?.trace === undefined) return turn;
        kept += 1;
        if (kept <= MOST_TRACES) return turn;
        const { trace: _, ...answer } = turn.answer;
        return { ...turn, answer, passages: [] };
      })
      .reverse(),
  }));
}

async function follow(turn: Turn): Promise<void> {
  const controller = new AbortController();
  running.set(turn.id, controller);
  const draft = new Draft(turn.id);
  let ended = false;
  try {
    const body = { ...turn.body, stream: true, trace: true };
    for await (const { name, data } of events("POST", "/v1/ask", body, controller.signal)) {
      const fields = data as Record<string, unknown>;
      if (name === "status") draft.put({ stage: String(fields.stage ?? "") });
      else if (name === "sources") draft.put({ passages: (fields.passages as Passage[] | undefined) ?? [] });
      else if (name === "token") draft.add(String(fields.text ?? ""));
      else if (name === "citation") draft.cite(data as Citation);
      else if (name === "error") {
        ended = true;
        throw new Problem(Number(fields.status ?? 500), String(fields.code ?? ""), String(fields.detail ?? ""), String(fields.request_id ?? ""));
      } else if (name === "done") {
        const answer = data as Answer;
        ended = true;
        draft.flush({ state: "done", answer, text: answer.answer, citations: answer.citations });
      }
    }
    if (!ended) draft.flush({ state: "failed", error: { detail: "", status: -1, requestId: "" } });
  } catch (error) {
    if (controller.signal.aborted) draft.flush({ state: "stopped" });
    else {
      const problem = error instanceof Problem ? error : new Problem(0, "unreachable", "");
      draft.flush({
        state: "failed",
        error: { detail: problem.message, status: problem.status, requestId: problem.requestId },
      });
    }
  } finally {
    running.delete(turn.id);
  }
}

/** Collects what streams in and shows it once a frame: a redraw for every token would starve the page. */
class Draft {
  private waiting: Partial<Turn> = {};
  private text = "";
  private citations: Citation[] = [];
  private timer = 0;

  constructor(private readonly turnId: string) {}

  put(part: Partial<Turn>): void {
    Object.assign(this.waiting, part);
    if (this.timer === 0) this.timer = window.setTimeout(() => this.flush({}), 40);
  }

  add(text: string): void {
    this.text += text;
    this.put({ text: this.text });
  }

  cite(citation: Citation): void {
    this.citations = [...this.citations, citation];
    this.put({ citations: this.citations });
  }

  flush(part: Partial<Turn>): void {
    clearTimeout(this.timer);
    this.timer = 0;
    change(this.turnId, { ...this.waiting, ...part });
    this.waiting = {};
  }
}
