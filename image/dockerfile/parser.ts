import { SlimGoError } from '../../errors';
import { type EscapeToken, expandWords, isSpace, trimLeft, trimSpace, WordError } from './words';

/** A here-document that follows an instruction: `COPY <<EOF /file`. */
export interface Heredoc {
  readonly name: string;
  /** False where the word is quoted: the content is taken as it stands. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are removed. */
  readonly chomp: boolean;
  readonly content: string;
}

/** An instruction as written, split into words but not yet understood or expanded. */
export interface RawInstruction {
  /** Upper case: `COPY`. */
  readonly keyword: string;
  /** The logical line, continuations joined. */
  readonly original: string;
  /** `--from=build`, quotes removed. */
  readonly flags: readonly string[];
  /** Words of the instruction; for ENV and LABEL triples of key, value and `=` (or '' for the form without `=`). */
  readonly args: readonly string[];
  /** Written as a JSON array (exec form). */
  readonly json: boolean;
  readonly heredocs: readonly Heredoc[];
  /** 1-based. */
  readonly line: number;
  readonly endLine: number;
}

/** A Dockerfile, split into instructions. */
export interface ParsedDockerfile {
  /** What errors call it. */
  readonly file: string;
  readonly escape: EscapeToken;
  /** Parser directives other than `escape`: `syntax`, `check`, with the line they stand on. */
  readonly directives: ReadonlyMap<string, { readonly value: string; readonly line: number }>;
  readonly instructions: readonly RawInstruction[];
}

/** An error at a line of a Dockerfile: `apps/hello/Dockerfile:4: ...`. */
export function dockerfileError(file: string, line: number, message: string, hint?: string): SlimGoError {
  return new SlimGoError('DOCKERFILE_INVALID', `${file}:${line}: ${message}`, hint === undefined ? {} : { hint });
}

/**
 * Splits a Dockerfile into instructions: directives, comments, continuations, heredocs, exec and shell forms, flags.
 * The meaning of an instruction is read by `readInstruction`.
 * @throws DOCKERFILE_INVALID
 * https://docs.docker.com/reference/dockerfile/#format
 */
export function parseDockerfile(text: string, file: string): ParsedDockerfile {
  const lines = text.replace(/^\ufeff/, '').match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const directives = new DirectiveReader(file);
  const instructions: RawInstruction[] = [];
  let index = 0;
  while (index < lines.length) {
    const line = index + 1;
    const first = trimLeft(trimNewline(lines[index++]!));
    directives.read(first, line);
    let [logical, more] = cutContinuation(isComment(first) ? '' : first, directives.escape);
    if (!more && logical === '') continue;
    while (more && index < lines.length) {
      const next = trimNewline(lines[index++]!);
      directives.read(next, index);
      if (isComment(next) || trimSpace(next) === '') continue;
      const [part, continues] = cutContinuation(next, directives.escape);
      logical += part;
      more = continues;
    }
    const instruction = splitInstruction(logical, directives.escape, file, line);
    const heredocs: Heredoc[] = [];
    for (const mark of heredocMarks(instruction, logical)) {
      let content = '';
      let terminated = false;
      while (index < lines.length && !terminated) {
        const raw = lines[index++]!;
        const end = trimNewline(raw);
        terminated = (mark.chomp ? end.replace(/^\t+/, '') : end) === mark.name;
        if (!terminated) content += raw;
      }
      if (!terminated) {
        throw dockerfileError(
          file,
          line,
          `the heredoc <<${mark.name} is not terminated.`,
          `End it with a line "${mark.name}".`,
        );
      }
      heredocs.push({ ...mark, content });
    }
    instructions.push({ ...instruction, heredocs, line, endLine: index });
  }
  if (instructions.length === 0) {
    throw new SlimGoError('DOCKERFILE_INVALID', `${file}: the Dockerfile is empty: it has no instructions.`, {
      hint: 'Start with "FROM scratch".',
    });
  }
  return { file, escape: directives.escape, directives: directives.found, instructions };
}

function trimNewline(line: string): string {
  return line.replace(/[\r\n]+$/, '');
}

function isComment(line: string): boolean {
  return trimLeft(line).startsWith('#');
}

/** Removes the continuation character at the end; the second value tells whether it was there. */
function cutContinuation(line: string, escapeToken: EscapeToken): [string, boolean] {
  const expression = escapeToken === '\\' ? /(^|[^\\])\\[ \t]*$/ : /(^|[^`])`[ \t]*$/;
  return expression.test(line) ? [line.replace(expression, '$1'), true] : [line, false];
}

/** Directives stand before everything else: any other line, a blank one too, ends them. */
class DirectiveReader {
  escape: EscapeToken = '\\';
  readonly found = new Map<string, { value: string; line: number }>();
  private done = false;

  constructor(private readonly file: string) {}

  read(text: string, line: number): void {
    if (this.done) return;
    const match = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/.exec(text);
    const name = match?.[1]?.toLowerCase();
    if (name !== 'syntax' && name !== 'escape' && name !== 'check') {
      this.done = true;
      return;
    }
    const value = match![2]!;
    if (this.found.has(name)) {
      throw dockerfileError(this.file, line, `only one "${name}" parser directive can be used.`);
    }
    this.found.set(name, { value, line });
    if (name !== 'escape') return;
    if (value !== '\\' && value !== '`') {
      throw dockerfileError(this.file, line, `"${value}" can't be the escape character.`, 'Use \\ or `.');
    }
    this.escape = value;
  }
}

const blanks = /[\t\v\f\r ]+/;

/** Splits at the first run of blanks; one element where there is none. */
function cutAtBlanks(text: string): [string] | [string, string] {
  const match = blanks.exec(text);
  return match ? [text.slice(0, match.index), text.slice(match.index + match[0].length)] : [text];
}

type Split = Omit<RawInstruction, 'heredocs' | 'line' | 'endLine'>;

function splitInstruction(original: string, escapeToken: EscapeToken, file: string, line: number): Split {
  const [command, rest = ''] = cutAtBlanks(trimSpace(original));
  const { flags, args: argText } = cutFlags(rest, escapeToken);
  const text = trimSpace(argText);
  const keyword = command.toUpperCase();
  const fail = (message: string): never => {
    throw dockerfileError(file, line, message);
  };
  const result = (args: readonly string[], json = false): Split => ({ keyword, original, flags, args, json });
  switch (keyword) {
    case 'ADD':
    case 'COPY':
    case 'VOLUME': {
      const array = parseJsonWords(text, fail);
      return array ? result(array, true) : result(splitBlanks(text));
    }
    case 'CMD':
    case 'ENTRYPOINT':
    case 'RUN':
    case 'SHELL': {
      const array = parseJsonWords(text, fail);
      return array ? result(array, true) : result(text === '' ? [] : [text]);
    }
    case 'EXPOSE':
    case 'FROM':
      return result(splitBlanks(text));
    case 'ARG':
      return result(splitQuoted(text, escapeToken));
    case 'ENV':
    case 'LABEL':
      return result(splitPairs(text, keyword, escapeToken, fail));
    case 'HEALTHCHECK': {
      const match = /^(\S+)\s*([\s\S]*)$/.exec(text);
      if (!match) return result([]);
      const array = parseJsonWords(match[2]!, fail);
      return result([match[1]!, ...(array ?? (match[2] === '' ? [] : [match[2]!]))], array !== undefined);
    }
    default:
      // MAINTAINER, STOPSIGNAL, USER, WORKDIR and ONBUILD take the line; an unknown word is refused by readInstruction.
      return result(text === '' ? [] : [text]);
  }
}

function splitBlanks(text: string): readonly string[] {
  return text === '' ? [] : text.split(/[\t\v\f\r ]+/);
}

/** undefined where the text is no JSON array: then it is the shell form. */
function parseJsonWords(text: string, fail: (message: string) => never): readonly string[] | undefined {
  if (!trimLeft(text).startsWith('[')) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const words = parsed as readonly unknown[];
  if (words.some((word) => typeof word !== 'string')) {
    fail('an instruction in JSON array form must hold strings only.');
  }
  return words as readonly string[];
}

/** Takes the leading `--flag[=value]` words off; a bare `--` ends them. */
function cutFlags(text: string, escapeToken: EscapeToken): { flags: readonly string[]; args: string } {
  const flags: string[] = [];
  let word = '';
  let inWord = false;
  let quote = '';
  let quoted = false;
  const push = () => {
    if (quoted || word !== '') flags.push(word);
    word = '';
    quoted = false;
  };
  for (let index = 0; index < text.length; index++) {
    let character = text[index]!;
    if (!inWord) {
      if (isSpace(character)) continue;
      if (!text.startsWith('--', index)) return { flags, args: text.slice(index) };
      inWord = true;
    }
    if (quote === '') {
      if (isSpace(character)) {
        inWord = false;
        if (word === '--') return { flags, args: text.slice(index) };
        push();
        continue;
      }
      if (character === "'" || character === '"') {
        quote = character;
        quoted = true;
        continue;
      }
    } else if (character === quote) {
      quote = '';
      continue;
    }
    if (character === escapeToken) {
      if (index + 1 === text.length) continue;
      character = text[++index]!;
    }
    word += character;
  }
  if (inWord && word !== '--') push();
  return { flags, args: '' };
}

/** Words separated by white space; quotes and escapes stay for the expansion. */
function splitQuoted(text: string, escapeToken: EscapeToken): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  let quoted = false;
  const characters = [...text];
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index]!;
    if (quote === '' && isSpace(character)) {
      if (quoted || word !== '') words.push(word);
      word = '';
      quoted = false;
      continue;
    }
    if (character === escapeToken && quote !== "'") {
      // An escape character at the very end is dropped.
      if (index + 1 < characters.length) word += character + characters[++index]!;
      continue;
    }
    if (quote === '' && (character === "'" || character === '"')) {
      quote = character;
      quoted = true;
    } else if (character === quote) quote = '';
    word += character;
  }
  if (quoted || word !== '') words.push(word);
  return words;
}

function splitPairs(
  text: string,
  keyword: string,
  escapeToken: EscapeToken,
  fail: (message: string) => never,
): readonly string[] {
  const words = splitQuoted(text, escapeToken);
  if (words.length === 0) return [];
  if (!words[0]!.includes('=')) {
    const [key, value] = cutAtBlanks(text);
    return value === undefined ? fail(`${keyword} must have two arguments.`) : [key, value, ''];
  }
  return words.flatMap((word) => {
    const equals = word.indexOf('=');
    if (equals < 0) fail(`"${word}" has no "=": ${keyword} takes name=value.`);
    return [word.slice(0, equals), word.slice(equals + 1), '='];
  });
}

const unset = () => undefined;

/** Reads `<<EOF`, `<<-EOF`, `<<"EOF"` where the whole word is one. */
export function parseHeredocMark(word: string): Omit<Heredoc, 'content'> | undefined {
  const match = /^\d*<<(-?)\s*([^<]+)$/.exec(word);
  if (!match) return undefined;
  const options = { escape: '\\', keepUnset: true } as const;
  const names = expandWords(match[2]!, unset, options);
  if (names.length !== 1) return undefined;
  const raw = expandWords(match[2]!, unset, { ...options, rawQuotes: true });
  const quotes = (text: string) => text.replace(/[^'"]/g, '').length;
  return { name: names[0]!, expand: quotes(names[0]!) === quotes(raw[0] ?? ''), chomp: match[1] === '-' };
}

function heredocMarks(instruction: Split, line: string): readonly Omit<Heredoc, 'content'>[] {
  if (!line.includes('<<')) return [];
  let { keyword, json } = instruction;
  if (keyword === 'ONBUILD') {
    const inner = splitInstruction(instruction.args[0] ?? '', '\\', '', 0);
    keyword = inner.keyword;
    json = inner.json;
  }
  if (json || !['ADD', 'COPY', 'RUN'].includes(keyword)) return [];
  try {
    const words = expandWords(line, unset, { escape: '\\', rawQuotes: true, rawEscapes: true, keepUnset: true });
    return words.flatMap((word) => parseHeredocMark(word) ?? []);
  } catch (error) {
    // A line that is no list of shell words has no heredoc (a RUN with an apostrophe).
    if (error instanceof WordError) return [];
    throw error;
  }
}
