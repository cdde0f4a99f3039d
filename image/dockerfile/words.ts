/**
 * Shell words as Dockerfiles know them: quotes, escapes and `$variable` expansion with Docker's modifiers.
 * https://docs.docker.com/reference/dockerfile/#environment-replacement
 */

/** Looks a variable up; undefined where it is unset (which `${a-x}` tells from empty). */
export type Lookup = (name: string) => string | undefined;

/** The character that escapes: `\` unless an `# escape=` directive chose the backtick. */
export type EscapeToken = '\\' | '`';

interface WordOptions {
  readonly escape: EscapeToken;
  /** Quotes stay in the result. */
  readonly rawQuotes?: boolean;
  /** Escape characters stay in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters: the body of a heredoc. */
  readonly ignoreQuotes?: boolean;
  /** A variable that is unset stays as written. */
  readonly keepUnset?: boolean;
}

/** What is wrong with a word, without a position: the caller knows file and line. */
export class WordError extends Error {}

const spaceClass = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const spaceCharacter = new RegExp(`[${spaceClass}]`);
const leadingSpace = new RegExp(`^[${spaceClass}]+`);
const trailingSpace = new RegExp(`[${spaceClass}]+$`);

/** Unicode white space as Go's `unicode.IsSpace` has it (JavaScript's `\s` differs in two characters). */
export function isSpace(character: string): boolean {
  return spaceCharacter.test(character);
}

/** Go's `strings.TrimSpace`. */
export function trimSpace(text: string): string {
  return trimLeft(text).replace(trailingSpace, '');
}

/** Removes white space at the start of `text`. */
export function trimLeft(text: string): string {
  return text.replace(leadingSpace, '');
}

/**
 * Expands one word: quotes are removed, variables replaced; spaces stay.
 * @throws WordError
 */
export function expandWord(word: string, lookup: Lookup, options: WordOptions): string {
  return new WordReader(word, lookup, options).read().text;
}

/**
 * Expands `text` and splits the result at unquoted white space (what a variable brings in is split too).
 * @throws WordError
 */
export function expandWords(text: string, lookup: Lookup, options: WordOptions): readonly string[] {
  return new WordReader(text, lookup, options).read().words;
}

const nameCharacter = /[\p{L}\p{Nd}_]/u;
const digit = /\p{Nd}/u;
const specialParameters = '@*#?-$!0';

class WordReader {
  private readonly characters: readonly string[];
  private position = 0;
  private rawEscapes: boolean;

  constructor(
    text: string,
    private readonly lookup: Lookup,
    private readonly options: WordOptions,
  ) {
    this.characters = [...text];
    this.rawEscapes = options.rawEscapes ?? false;
  }

  read(): { readonly text: string; readonly words: readonly string[] } {
    return this.readUntil(undefined, this.rawEscapes);
  }

  private peek(): string | undefined {
    return this.characters[this.position];
  }

  private next(): string | undefined {
    return this.characters[this.position++];
  }

  private readUntil(stop: string | undefined, rawEscapes: boolean): { text: string; words: readonly string[] } {
    const outerRawEscapes = this.rawEscapes;
    this.rawEscapes = rawEscapes;
    let text = '';
    const words: string[] = [];
    let word = '';
    const addSplit = (part: string) => {
      for (const character of part) {
        if (!isSpace(character)) word += character;
        else if (word !== '') {
          words.push(word);
          word = '';
        }
      }
    };
    const finish = () => {
      this.rawEscapes = outerRawEscapes;
      if (word !== '') words.push(word);
      return { text, words };
    };
    for (let character = this.peek(); character !== undefined; character = this.peek()) {
      if (character === stop) {
        this.position++;
        return finish();
      }
      if (character === '$') {
        const value = this.readVariable();
        text += value;
        addSplit(value);
        continue;
      }
      let part: string;
      if (character === '<') part = this.readHeredocMark();
      else if (character === "'" && !this.options.ignoreQuotes) part = this.readSingleQuoted();
      else if (character === '"' && !this.options.ignoreQuotes) part = this.readDoubleQuoted();
      else {
        this.position++;
        if (character !== this.options.escape) {
          text += character;
          addSplit(character);
          continue;
        }
        const escaped = this.next();
        part = (this.rawEscapes ? character : '') + (escaped ?? '');
      }
      text += part;
      word += part;
    }
    if (stop !== undefined) throw new WordError(`unexpected end of statement while looking for matching ${stop}`);
    return finish();
  }

  private readSingleQuoted(): string {
    const quote = this.options.rawQuotes ? this.characters[this.position]! : '';
    this.position++;
    let text = quote;
    for (;;) {
      const character = this.next();
      if (character === undefined)
        throw new WordError('unexpected end of statement while looking for matching single-quote');
      if (character === "'") return text + quote;
      text += character;
    }
  }

  private readDoubleQuoted(): string {
    const quote = this.options.rawQuotes ? this.characters[this.position]! : '';
    this.position++;
    let text = quote;
    for (;;) {
      const character = this.peek();
      if (character === undefined)
        throw new WordError('unexpected end of statement while looking for matching double-quote');
      if (character === '$') {
        text += this.readVariable();
        continue;
      }
      this.position++;
      if (character === '"') return text + quote;
      if (character !== this.options.escape) {
        text += character;
        continue;
      }
      if (this.rawEscapes) text += character;
      const escaped = this.peek();
      if (escaped === undefined) continue;
      if (escaped === '"' || escaped === '$' || escaped === this.options.escape) {
        this.position++;
        text += escaped;
      } else text += character;
    }
  }

  /** `<<` and the blanks after it stay together, so that `<< EOF` is one word. */
  private readHeredocMark(): string {
    this.position++;
    if (this.peek() !== '<') return '<';
    this.position++;
    let mark = '<<';
    while (this.peek() === ' ' || this.peek() === '\t' || this.peek() === '\r') mark += this.next();
    return mark;
  }

  private readName(): string {
    const first = this.peek();
    if (first === undefined) return '';
    let name = '';
    if (digit.test(first)) {
      while (this.peek() !== undefined && digit.test(this.peek()!)) name += this.next();
      return name;
    }
    if (specialParameters.includes(first)) return this.next()!;
    while (this.peek() !== undefined && nameCharacter.test(this.peek()!)) name += this.next();
    return name;
  }

  private readVariable(): string {
    this.position++;
    if (this.peek() !== '{') {
      const name = this.readName();
      if (name === '') return '$';
      return this.lookup(name) ?? (this.options.keepUnset ? `$${name}` : '');
    }
    this.position++;
    const first = this.peek();
    if (first === undefined) throw new WordError("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw new WordError('syntax error: bad substitution');
    const name = this.readName();
    let operator = this.next() ?? '';
    if (operator === '}') return this.lookup(name) ?? (this.options.keepUnset ? `\${${name}}` : '');
    if (operator === '/') return this.readReplacement(name);
    let written = operator;
    const emptyIsUnset = operator === ':';
    if (emptyIsUnset) {
      operator = this.next() ?? '';
      written += operator;
    }
    const strips = operator === '#' || operator === '%';
    if (!['+', '-', '?', '#', '%'].includes(operator) || (emptyIsUnset && strips)) {
      throw new WordError(`unsupported modifier (${written}) in substitution`);
    }
    const word = this.readPart('}', strips, "syntax error: missing '}'");
    const value = this.lookup(name);
    if (value === undefined && this.options.keepUnset) return `\${${name}${written}${word}}`;
    const absent = value === undefined || (emptyIsUnset && value === '');
    if (operator === '-') return absent ? word : value;
    if (operator === '+') return absent ? '' : word;
    if (operator === '?') {
      if (!absent) return value;
      throw new WordError(`${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`);
    }
    const greedy = word.startsWith(operator);
    return stripPattern(value ?? '', greedy ? word.slice(1) : word, operator === '%', greedy);
  }

  private readReplacement(name: string): string {
    const all = this.peek() === '/';
    if (all) this.position++;
    const pattern = this.readPart('/', true, "syntax error: missing '/' in the substitution");
    const replacement = this.readPart('}', true, "syntax error: missing '}'");
    const value = this.lookup(name);
    if (value === undefined && this.options.keepUnset) return `\${${name}/${pattern}/${replacement}}`;
    return replacePattern(value ?? '', pattern, replacement, all);
  }

  private readPart(stop: string, rawEscapes: boolean, unterminated: string): string {
    try {
      return this.readUntil(stop, rawEscapes).text;
    } catch (error) {
      if (error instanceof WordError && this.peek() === undefined) throw new WordError(unterminated);
      throw error;
    }
  }
}

/** A shell pattern (`*`, `?`, escapes; no brackets) as the source of a regular expression. */
function patternSource(pattern: readonly string[], whole: string, greedy: boolean): string {
  let source = '';
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index]!;
    if (character === '*') source += greedy ? '[^\\n]*' : '[^\\n]*?';
    else if (character === '?') source += '[^\\n]';
    else if (character === '\\') {
      const next = pattern[index + 1];
      if (next === '}' || next === '/') continue;
      if (next !== '*' && next !== '?' && next !== '\\') {
        throw new WordError(`invalid pattern (${whole}) in substitution: invalid escape '\\${next ?? ''}'`);
      }
      source += `\\${next}`;
      index++;
    } else source += /[[\]{}.+()|^$/]/.test(character) ? `\\${character}` : character;
  }
  return source;
}

function stripPattern(value: string, pattern: string, atEnd: boolean, greedy: boolean): string {
  const characters = [...value];
  // A suffix is found from the end: text and pattern are reversed, escapes stay before what they escape.
  const tokens = pattern.match(/\\[\s\S]|[\s\S]/gu) ?? [];
  const ordered = atEnd ? [...tokens].reverse() : tokens;
  const source = patternSource([...ordered.join('')], pattern, greedy);
  const text = atEnd ? characters.reverse().join('') : value;
  const rest = text.replace(new RegExp(`^(?:${source})`, 'u'), '');
  return atEnd ? [...rest].reverse().join('') : rest;
}

function replacePattern(value: string, pattern: string, replacement: string, all: boolean): string {
  const expression = new RegExp(patternSource([...pattern], pattern, true), 'gu');
  let result = '';
  let end = 0;
  let previousEnd = -1;
  for (const match of value.matchAll(expression)) {
    // An empty match right behind the last one does not count.
    if (match[0] === '' && match.index === previousEnd) continue;
    // Docker replaces all through a template in which `$0` is the match and other groups are empty.
    const text = all
      ? replacement.replace(/\$(?:(\$)|(\w+)|\{(\w+)\})/g, (_, dollar, plain, braced) =>
          dollar ? '$' : (plain ?? braced) === '0' ? match[0] : '',
        )
      : replacement;
    result += value.slice(end, match.index) + text;
    end = match.index + match[0].length;
    previousEnd = end;
    if (!all) break;
  }
  return result + value.slice(end);
}
