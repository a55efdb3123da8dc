// Finding a quote again in a rendering of its document: a PDF page as pdf.js reads it, or Markdown turned into HTML.
// Both keep the letters and lose or move white space, hyphens and marks; so letters and digits alone are compared.

interface Folded {
  text: string;
  at: number[];
}

export interface Match {
  start: number;
  end: number;
  whole: boolean;
}

const LETTER = /[\p{L}\p{N}\p{S}]/u;
const MARKS = /[*_`~^|<>=+$]/;
const SHORTEST_PART = 12;

function fold(source: string): Folded {
  const at: number[] = [];
  let text = "";
  for (let index = 0; index < source.length; ) {
    const character = String.fromCodePoint(source.codePointAt(index) as number);
    if (LETTER.test(character) && !MARKS.test(character)) {
      for (const plain of character.normalize("NFKC").toLowerCase()) {
        if (!LETTER.test(plain)) continue;
        text += plain;
        for (let unit = 0; unit < plain.length; unit += 1) at.push(index);
      }
    }
    index += character.length;
  }
  return { text, at };
}

export function folded(source: string): string {
  return fold(source).text;
}

/** Where `quote` stands in `rendered` (UTF-16 indices); of several places the one whose surroundings fit best.
 *
 * Where it is not there as a whole (a page ends within it), the longest beginning or end of it; null for none.
 */
export function find(rendered: string, quote: string, before: string, after: string): Match | null {
  const hay = fold(rendered);
  const needle = folded(quote);
  if (needle === "" || hay.text === "") return null;
  const places: number[] = [];
  for (let place = hay.text.indexOf(needle); place >= 0 && places.length < 500; place = hay.text.indexOf(needle, place + 1)) {
    places.push(place);
  }
  if (places.length > 0) {
    const left = folded(before);
    const right = folded(after);
    const fit = (place: number): number =>
      commonEnd(hay.text.slice(0, place), left) + commonStart(hay.text.slice(place + needle.length), right);
    const best = places.reduce((chosen, place) => (fit(place) > fit(chosen) ? place : chosen));
    return span(rendered, hay, best, needle.length, true);
  }
  const head = longest((length) => hay.text.indexOf(needle.slice(0, length)), needle.length);
  const tail = longest((length) => hay.text.indexOf(needle.slice(needle.length - length)), needle.length);
  const [length, place] = head[0] >= tail[0] ? head : tail;
  return length >= Math.min(SHORTEST_PART, needle.length) ? span(rendered, hay, place, length, false) : null;
}

function span(rendered: string, hay: Folded, place: number, length: number, whole: boolean): Match {
  const last = hay.at[place + length - 1] as number;
  const width = String.fromCodePoint(rendered.codePointAt(last) as number).length;
  let end = last + width;
  while (end < rendered.length && /[.!?。！？"”’)»]/.test(rendered[end] as string)) end += 1; // the sentence's own full stop
  return { start: hay.at[place] as number, end, whole };
}

/** [the greatest length whose part is found, where]; a part of a found part is found too, so halving is enough. */
function longest(placeOf: (length: number) => number, most: number): [number, number] {
  let low = 0;
  let high = most;
  let where = -1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const place = placeOf(middle);
    if (place >= 0) {
      low = middle;
      where = place;
    } else high = middle - 1;
  }
  return [low, where];
}

function commonEnd(one: string, other: string): number {
  let count = 0;
  while (count < one.length && count < other.length && one.at(-1 - count) === other.at(-1 - count)) count += 1;
  return count;
}

function commonStart(one: string, other: string): number {
  let count = 0;
  while (count < one.length && count < other.length && one[count] === other[count]) count += 1;
  return count;
}

function textNodes(container: Node): Text[] {
  const walker = document.createTreeWalker(container, NodeFilter.SHOW_TEXT);
  const nodes: Text[] = [];
  while (walker.nextNode()) nodes.push(walker.currentNode as Text);
  return nodes;
}

/** Puts `<mark>` around the quote in `container`; the marks in order, none where it is not found. */
export function markQuote(
  container: HTMLElement,
  quote: string,
  before: string,
  after: string,
): { marks: HTMLElement[]; whole: boolean } {
  const nodes = textNodes(container);
  const match = find(nodes.map((node) => node.data).join(""), quote, before, after);
  if (match === null) return { marks: [], whole: false };
  const marks: HTMLElement[] = [];
  let offset = 0;
  for (const node of nodes) {
    const { length } = node.data;
    const start = Math.max(match.start - offset, 0);
    const end = Math.min(match.end - offset, length);
    offset += length;
    if (start >= end || node.data.slice(start, end).trim() === "") continue;
    const inside = start > 0 ? node.splitText(start) : node;
    if (end - start < inside.data.length) inside.splitText(end - start);
    const mark = document.createElement("mark");
    inside.replaceWith(mark);
    mark.append(inside);
    marks.push(mark);
  }
  return { marks, whole: match.whole };
}
