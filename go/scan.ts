import { SlimGoError } from '../errors';

/** One import declaration, or one `//go:embed` pattern: what it says and on which line (from 1). */
interface Located {
  readonly line: number;
}

/** `path` is unquoted: `net/http`, `C`. */
interface ImportSpec extends Located {
  readonly path: string;
}

/** `pattern` is one argument of a `//go:embed` comment, unquoted; `all:` is still in front of it. */
interface EmbedPattern extends Located {
  readonly pattern: string;
}

/** What the graph needs to know of one Go file. */
export interface GoFileHeader {
  readonly packageName: string;
  readonly imports: readonly ImportSpec[];
  /** Only of files that import "embed", as the go command has it. */
  readonly embeds: readonly EmbedPattern[];
  /** The `//go:build` line, or where there is none the `// +build` lines; a file is built where all of them hold. */
  readonly constraints: readonly string[];
  /** Present where some line is a `//go:generate`, anywhere in the file. */
  readonly generates?: true;
  /** Present where the file declares a benchmark or a fuzz test: of test files, whose other functions are not looked at. */
  readonly benchmarks?: true;
  readonly fuzzes?: true;
}

/**
 * Reads package clause, imports, embed patterns and build constraints of a Go file, without parsing its declarations.
 * `file` is named in errors only. Equal to go/parser's ImportsOnly mode with go/build's rules for comments on top.
 * https://go.dev/ref/spec#Source_file_organization https://pkg.go.dev/cmd/go#hdr-Build_constraints https://pkg.go.dev/embed
 * @throws GO_FILE_INVALID where the go command could not read the file either
 */
export function scanGoFile(source: Uint8Array, file: string): GoFileHeader {
  const head = source.length > headBytes ? scanHead(source.subarray(0, headBytes), file) : undefined;
  const isTest = file.endsWith('_test.go');
  return {
    ...(head ?? scanAll(source, file)),
    // As the go command finds it: by line, also within a string.
    // https://pkg.go.dev/cmd/go#hdr-Generate_Go_files_by_processing_source
    ...(hasLine(source, '//go:generate', /[ \t]/) ? { generates: true } : {}),
    ...(isTest && hasLine(source, 'func Benchmark', /[^a-z]/) ? { benchmarks: true } : {}),
    ...(isTest && hasLine(source, 'func Fuzz', /[^a-z]/) ? { fuzzes: true } : {}),
  };
}

/** Whether a line begins with these words, and then with what `next` matches. */
function hasLine(source: Uint8Array, words: string, next: RegExp): boolean {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
  for (let at = bytes.indexOf(words); at >= 0; at = bytes.indexOf(words, at + 1)) {
    const [before, after] = [bytes[at - 1], bytes[at + words.length]];
    if ((before === undefined || before === 10) && after !== undefined && next.test(String.fromCharCode(after)))
      return true;
  }
  return false;
}

/** Nearly every header ends within these; decoding only them makes a scan faster. */
const headBytes = 8192;

/** As scanAll, from the first `headBytes` of a longer file; undefined where they are not enough to tell. */
function scanHead(head: Uint8Array, file: string): GoFileHeader | undefined {
  const scanner = new HeaderScanner(head, file);
  try {
    const { packageName, imports } = scanner.header();
    if (!scanner.stoppedWithin || imports.some(({ path }) => path === 'embed')) return undefined;
    return { packageName, imports, embeds: [], constraints: constraintLines(scanner) };
  } catch (error) {
    if (error instanceof SlimGoError) return undefined;
    throw error;
  }
}

function scanAll(source: Uint8Array, file: string): GoFileHeader {
  const scanner = new HeaderScanner(source, file);
  const { packageName, imports } = scanner.header();
  return {
    packageName,
    imports,
    embeds: imports.some(({ path }) => path === 'embed') ? embedPatterns(scanner.text) : [],
    constraints: constraintLines(scanner),
  };
}

type Token =
  | { readonly kind: 'word' | 'string' | 'literal' | 'other'; readonly text: string; readonly offset: number }
  /** A semicolon, written or put in at a line's end. https://go.dev/ref/spec#Semicolons */
  | { readonly kind: 'semicolon' | 'end'; readonly text: ''; readonly offset: number };

const keywords = new Set(
  'break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var'.split(
    ' ',
  ),
);
const keywordsBeforeSemicolon = new Set(['break', 'continue', 'fallthrough', 'return']);
const letter = /^[\p{L}_]$/u;
/** Sticky: matches at a set position, and there possibly nothing. */
const asciiWord = /[A-Za-z0-9_]*/y;
const letterOrDigit = /^[\p{L}_\p{Nd}]$/u;

/** Tokens up to the first one that is neither package clause nor import. State: a position and the semicolon rule. */
class HeaderScanner {
  readonly text: string;
  private readonly suspicious: boolean;
  private offset = 0;
  private semicolonDue = false;
  private lineOffset = 0;
  private line = 1;

  constructor(
    private readonly source: Uint8Array,
    private readonly file: string,
  ) {
    const text = Buffer.from(source.buffer, source.byteOffset, source.byteLength).toString('utf8');
    this.text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    this.suspicious = /[\0\uFEFF\uFFFD]/.test(this.text);
  }

  /** Whether nothing behind the text could have changed what was read: a cut character is at most three bytes. */
  get stoppedWithin(): boolean {
    return this.offset < this.text.length - 3;
  }

  header(): { packageName: string; imports: ImportSpec[] } {
    let token = this.next();
    if (token.text !== 'package') throw this.error(`expected "package", found ${describe(token)}`, token.offset);
    token = this.next();
    if (token.kind !== 'word' || keywords.has(token.text)) {
      throw this.error(`expected the package's name, found ${describe(token)}`, token.offset);
    }
    const packageName = token.text;
    token = this.endOfStatement(this.next());
    const imports: ImportSpec[] = [];
    while (token.kind === 'word' && token.text === 'import') {
      token = this.next();
      if (token.text !== '(' || token.kind === 'string') {
        token = this.importSpec(token, imports);
        continue;
      }
      token = this.next();
      while (token.text !== ')' || token.kind !== 'other') {
        if (token.kind === 'end') throw this.error('the import declaration is not closed', token.offset);
        token = this.importSpec(token, imports);
      }
      token = this.endOfStatement(this.next());
    }
    return { packageName, imports };
  }

  /** Reads one spec that starts with `token`; returns the token after it. */
  private importSpec(start: Token, imports: ImportSpec[]): Token {
    let token = start;
    if (token.kind === 'word' && !keywords.has(token.text)) token = this.next();
    else if (token.kind === 'other' && token.text === '.') token = this.next();
    if (token.kind !== 'string') throw this.error(`expected an import path, found ${describe(token)}`, token.offset);
    const path = unquote(token.text);
    if (path === undefined || !isImportPath(path)) {
      throw this.error(`${token.text} is not an import path`, token.offset);
    }
    imports.push({ path, line: this.lineOf(token.offset) });
    return this.endOfStatement(this.next());
  }

  private endOfStatement(token: Token): Token {
    if (token.kind === 'semicolon') return this.next();
    if (token.kind === 'other' && (token.text === ')' || token.text === '}')) return token;
    throw this.error(`expected ";" or a new line, found ${describe(token)}`, token.offset);
  }

  private next(): Token {
    const { text } = this;
    for (;;) {
      const offset = this.offset;
      const code = text.charCodeAt(offset);
      if (offset >= text.length) {
        const kind = this.semicolonDue ? 'semicolon' : 'end';
        this.semicolonDue = false;
        return { kind, text: '', offset };
      }
      if (code === 10 && this.semicolonDue) {
        this.offset++;
        this.semicolonDue = false;
        return { kind: 'semicolon', text: '', offset };
      }
      if (code === 32 || code === 9 || code === 10 || code === 13) {
        this.offset++;
        continue;
      }
      if (code === 47 && (text[offset + 1] === '/' || text[offset + 1] === '*')) {
        if (this.comment(offset) && this.semicolonDue) {
          this.semicolonDue = false;
          return { kind: 'semicolon', text: '', offset };
        }
        continue;
      }
      return this.token(offset);
    }
  }

  /** Steps over a comment; true where it ends the line by holding one. */
  private comment(offset: number): boolean {
    if (this.text[offset + 1] === '/') {
      const end = this.text.indexOf('\n', offset);
      this.offset = end < 0 ? this.text.length : end;
      this.check(offset, this.offset);
      return false;
    }
    const end = this.text.indexOf('*/', offset + 2);
    if (end < 0) throw this.error('the comment is not closed', offset);
    this.offset = end + 2;
    this.check(offset, this.offset);
    return this.text.slice(offset, end).includes('\n');
  }

  private token(offset: number): Token {
    const { text } = this;
    const character = String.fromCodePoint(text.codePointAt(offset)!);
    if (letter.test(character)) {
      asciiWord.lastIndex = offset;
      let end = asciiWord.exec(text) ? asciiWord.lastIndex : offset;
      while (end < text.length && text.charCodeAt(end) > 127) {
        const following = String.fromCodePoint(text.codePointAt(end)!);
        if (!letterOrDigit.test(following)) break;
        asciiWord.lastIndex = end + following.length;
        end = asciiWord.exec(text) ? asciiWord.lastIndex : end + following.length;
      }
      const word = text.slice(offset, end);
      this.offset = end;
      this.semicolonDue = !keywords.has(word) || keywordsBeforeSemicolon.has(word);
      return { kind: 'word', text: word, offset };
    }
    if (character === '"' || character === '`') {
      const end = character === '`' ? text.indexOf('`', offset + 1) : endOfString(text, offset);
      if (end < 0) throw this.error('the string is not closed', offset);
      this.offset = end + 1;
      this.check(offset, this.offset);
      const literal = text.slice(offset, this.offset);
      if (unquote(literal) === undefined) throw this.error(`${literal} holds an unknown escape`, offset);
      this.semicolonDue = true;
      return { kind: 'string', text: literal, offset };
    }
    if (/[0-9']/.test(character) || (character === '.' && /[0-9]/.test(text[offset + 1] ?? ''))) {
      // Never part of a header: only that it is there matters.
      this.offset = offset + character.length;
      this.semicolonDue = true;
      return { kind: 'literal', text: character, offset };
    }
    this.offset = offset + character.length;
    this.check(offset, this.offset);
    if (!'()[]{}.,;:+-*/%^<>=!&|~'.includes(character)) throw this.error(`illegal character "${character}"`, offset);
    this.semicolonDue = character === ')' || character === ']' || character === '}';
    return character === ';' ? { kind: 'semicolon', text: '', offset } : { kind: 'other', text: character, offset };
  }

  /** Refuses what may stand nowhere in a source file. https://go.dev/ref/spec#Source_code_representation */
  private check(start: number, end: number): void {
    if (!this.suspicious) return;
    for (let offset = start; offset < end; offset++) {
      const code = this.text.charCodeAt(offset);
      if (code === 0) throw this.error('illegal character NUL', offset);
      if (code === 0xfeff) throw this.error('illegal byte order mark', offset);
      if (code === 0xfffd && !this.isEncodedAt(offset)) throw this.error('illegal UTF-8 encoding', offset);
    }
  }

  /** Tells a replacement character that stands in the file from one that the decoder put there. */
  private isEncodedAt(offset: number): boolean {
    const before = Buffer.byteLength(this.text.slice(0, offset));
    const start = before + (this.source[0] === 0xef && this.source[1] === 0xbb && this.source[2] === 0xbf ? 3 : 0);
    return this.source[start] === 0xef && this.source[start + 1] === 0xbf && this.source[start + 2] === 0xbd;
  }

  private lineOf(offset: number): number {
    if (offset < this.lineOffset) return this.text.slice(0, offset).split('\n').length;
    for (; this.lineOffset < offset; this.lineOffset++) {
      if (this.text.charCodeAt(this.lineOffset) === 10) this.line++;
    }
    return this.line;
  }

  error(problem: string, offset = this.offset): SlimGoError {
    return new SlimGoError('GO_FILE_INVALID', `${this.file}:${this.lineOf(offset)}: ${problem}.`, {
      hint: 'Run "go vet" in its folder for the compiler\'s own words.',
    });
  }
}

function describe(token: Token): string {
  if (token.kind === 'end') return 'the end of the file';
  return token.kind === 'semicolon' ? 'a new line or ";"' : `"${token.text}"`;
}

/** Offset of the closing quote of an interpreted string, or -1. */
function endOfString(text: string, start: number): number {
  for (let offset = start + 1; offset < text.length; offset++) {
    const character = text[offset];
    if (character === '"') return offset;
    if (character === '\n') return -1;
    if (character === '\\') offset++;
  }
  return -1;
}

const simpleEscapes: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
  '"': 34,
};

/**
 * The value of a Go string literal, raw or interpreted; undefined where it isn't one.
 * https://go.dev/ref/spec#String_literals
 */
export function unquote(literal: string): string | undefined {
  const quote = literal[0];
  if (literal.length < 2 || literal.at(-1) !== quote) return undefined;
  const body = literal.slice(1, -1);
  if (quote === '`') return body.includes('`') ? undefined : body.replaceAll('\r', '');
  if (quote !== '"') return undefined;
  if (!/[\\"\n]/.test(body)) return body;
  const bytes: Buffer[] = [];
  let offset = 0;
  while (offset < body.length) {
    const rest = body.slice(offset);
    const plain = /^[^\\"\n]+/.exec(rest)?.[0];
    if (plain !== undefined) {
      bytes.push(Buffer.from(plain));
      offset += plain.length;
      continue;
    }
    const found = /^\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
    if (!found) return undefined;
    const [whole, simple, hex, octal, short, long] = found;
    const rune = short ?? long;
    if (rune !== undefined) {
      const code = Number.parseInt(rune, 16);
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
      bytes.push(Buffer.from(String.fromCodePoint(code)));
    } else {
      const byte =
        simple !== undefined
          ? simpleEscapes[simple]!
          : hex !== undefined
            ? Number.parseInt(hex, 16)
            : Number.parseInt(octal!, 8);
      if (byte > 255) return undefined;
      bytes.push(Buffer.of(byte));
    }
    offset += whole.length;
  }
  return Buffer.concat(bytes).toString('utf8');
}

/** https://go.dev/ref/spec#Import_declarations and go/build's isValidImport */
function isImportPath(path: string): boolean {
  return path !== '' && !/[!"#$%&'()*,:;<=>?[\\\]^`{|}\uFFFD]|[\p{C}\p{Z}]/u.test(path);
}

const commentOrLiteral = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*'/g;

function embedPatterns(text: string): EmbedPattern[] {
  if (!text.includes('//go:embed')) return [];
  const patterns: EmbedPattern[] = [];
  for (const match of text.matchAll(commentOrLiteral)) {
    if (!/^\/\/go:embed[ \t]/.test(match[0])) continue;
    const found = embedArguments(match[0].slice('//go:embed'.length));
    if (found.length === 0) continue;
    const line = text.slice(0, match.index).split('\n').length;
    patterns.push(...found.map((pattern) => ({ pattern, line })));
  }
  return patterns;
}

/** Patterns of one comment; none where it is malformed, as the compiler will say in better words. */
function embedArguments(comment: string): string[] {
  const patterns: string[] = [];
  let rest = comment.trim();
  while (rest !== '') {
    const literal = /^(?:"(?:[^"\\]|\\.)*"|`[^`]*`)(?=\s|$)/.exec(rest)?.[0];
    const bare = /^[^\s"`]\S*/.exec(rest)?.[0];
    const pattern = literal === undefined ? bare : unquote(literal);
    if (pattern === undefined) return [];
    patterns.push(pattern);
    rest = rest.slice((literal ?? bare)!.length).trimStart();
  }
  return patterns;
}

/** The lines above the package clause that say where the file is built, as go/build's shouldBuild finds them. */
function constraintLines(scanner: HeaderScanner): string[] {
  let goBuild: string | undefined;
  let plusBuild: string[] = [];
  let candidates: string[] = [];
  let ended = false;
  let inComment = false;
  for (const rawLine of lines(scanner.text)) {
    let line = rawLine.trim();
    if (line === '' && !ended) {
      // Old-style lines count only above a blank line.
      plusBuild = plusBuild.concat(candidates);
      candidates = [];
      continue;
    }
    if (!line.startsWith('//')) ended = true;
    if (!inComment && /^\/\/go:build(?:\s|$)/.test(line)) {
      if (goBuild !== undefined) throw scanner.error('there are several //go:build lines');
      goBuild = line;
    } else if (!ended && /^\/\/\s*\+build(?:\s|$)/.test(line)) candidates.push(line);
    while (line !== '') {
      if (inComment) {
        const end = line.indexOf('*/');
        if (end < 0) break;
        inComment = false;
        line = line.slice(end + 2).trim();
      } else if (line.startsWith('//')) break;
      else if (line.startsWith('/*')) {
        inComment = true;
        line = line.slice(2);
      } else return goBuild === undefined ? plusBuild : [goBuild];
    }
  }
  return goBuild === undefined ? plusBuild : [goBuild];
}

function* lines(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start);
    yield text.slice(start, end < 0 ? text.length : end);
    start = end < 0 ? text.length : end + 1;
  }
}
