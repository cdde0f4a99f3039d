import { posix } from 'node:path';

/**
 * A pattern of Go's `filepath.Match` as a regular expression; undefined where it is malformed.
 * `*` and `?` never match a slash. https://pkg.go.dev/path/filepath#Match
 */
export function compileWildcard(pattern: string): RegExp | undefined {
  const characters = [...pattern];
  let source = '';
  let index = 0;
  const literal = (): string | undefined => {
    const character = characters[index++];
    return character === '\\' ? characters[index++] : character;
  };
  while (index < characters.length) {
    const character = characters[index]!;
    if (character === '*') {
      source += '[^/]*';
      index++;
    } else if (character === '?') {
      source += '[^/]';
      index++;
    } else if (character === '[') {
      index++;
      const negated = characters[index] === '^';
      if (negated) index++;
      let ranges = '';
      let count = 0;
      for (;;) {
        if (characters[index] === ']' && count > 0) break;
        if (characters[index] === '-' || characters[index] === ']') return undefined;
        const low = literal();
        if (low === undefined || index >= characters.length) return undefined;
        let high = low;
        if (characters[index] === '-') {
          index++;
          if (characters[index] === '-' || characters[index] === ']') return undefined;
          const end = literal();
          if (end === undefined || index >= characters.length) return undefined;
          high = end;
        }
        // A range that runs backwards matches nothing in Go and is an error in JavaScript.
        if (low.codePointAt(0)! <= high.codePointAt(0)!) ranges += `${quoteInClass(low)}-${quoteInClass(high)}`;
        count++;
      }
      index++;
      source += ranges === '' ? (negated ? '[\\s\\S]' : '[]') : `[${negated ? '^' : ''}${ranges}]`;
    } else {
      const text = literal();
      if (text === undefined) return undefined;
      source += /[\\^$.*+?()[\]{}|/]/.test(text) ? `\\${text}` : text;
    }
  }
  return new RegExp(`^${source}$`, 'u');
}

function quoteInClass(character: string): string {
  return /[\\^\]-]/.test(character) ? `\\${character}` : character;
}

/** Whether a path holds `*`, `?` or `[` that is not escaped. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\[\s\S]/gu, ''));
}

/** For each pattern whether it matched a folder: handed down to what is in the folder. */
export type ParentMatches = readonly boolean[];

interface IgnorePattern {
  readonly text: string;
  /** 1-based line of the file it stands in. */
  readonly line: number;
  readonly exception: boolean;
  readonly matches: (path: string) => boolean;
}

/** A pattern that Docker refuses too. */
export class PatternError extends Error {
  constructor(
    readonly pattern: string,
    readonly line: number,
  ) {
    super(`"${pattern}" is no valid pattern`);
  }
}

/**
 * The patterns of a .dockerignore, or of `--exclude`, with Docker's meaning: the last one that matches a path or one of
 * its folders decides, `!` makes an exception, `**` spans folders.
 * https://docs.docker.com/build/concepts/context/#dockerignore-files https://github.com/moby/patternmatcher
 */
export class IgnorePatterns {
  private readonly patterns: readonly IgnorePattern[];
  private readonly exceptionPrefixes: readonly string[] | undefined;
  readonly hasExceptions: boolean;

  /** @throws PatternError */
  constructor(patterns: readonly { readonly text: string; readonly line: number }[]) {
    this.patterns = patterns.flatMap(({ text, line }) => compilePattern(text, line) ?? []);
    const exceptions = this.patterns.filter((pattern) => pattern.exception);
    this.hasExceptions = exceptions.length > 0;
    const prefixes = exceptions.map((pattern) => pattern.text.replace(/\/?\*\*$/, ''));
    this.exceptionPrefixes = prefixes.some((prefix) => /[*[\]?^\\]/.test(prefix)) ? undefined : prefixes;
  }

  /** Reads the text of a .dockerignore. @throws PatternError */
  static parse(text: string): IgnorePatterns {
    const lines = text.replace(/^\ufeff/, '').split('\n');
    return new IgnorePatterns(
      lines.flatMap((raw, index) => {
        if (raw.startsWith('#')) return [];
        let pattern = raw.trim();
        if (pattern === '') return [];
        const exception = pattern.startsWith('!');
        if (exception) pattern = pattern.slice(1).trim();
        if (pattern !== '') pattern = cleanPath(pattern);
        if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1);
        return { text: (exception ? '!' : '') + pattern, line: index + 1 };
      }),
    );
  }

  /** Whether `path` is matched, given what matched its folder (nothing at the root), and what to hand down. */
  match(path: string, parent: ParentMatches = []): { readonly ignored: boolean; readonly matches: ParentMatches } {
    let ignored = false;
    const matches = this.patterns.map((pattern, index) => {
      const inherited = parent[index] ?? false;
      // A pattern that can't change the verdict is not asked, which Docker hands down to the folder's content as well.
      if (!inherited && pattern.exception !== ignored) return false;
      const matched = inherited || pattern.matches(path);
      if (matched) ignored = !pattern.exception;
      return matched;
    });
    return { ignored, matches };
  }

  /** The pattern that decides that `path` is ignored. */
  decidedBy(path: string): { readonly text: string; readonly line: number } | undefined {
    let decisive: IgnorePattern | undefined;
    const folders = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
    for (const pattern of this.patterns) {
      if (pattern.exception !== (decisive !== undefined)) continue;
      if (folders.some((folder) => pattern.matches(folder))) decisive = pattern.exception ? undefined : pattern;
    }
    return decisive;
  }

  /** False where no exception can match anything inside this folder, so that it need not be read. */
  mayHaveExceptionsIn(folder: string): boolean {
    if (!this.hasExceptions) return false;
    return this.exceptionPrefixes?.some((prefix) => `${prefix}/`.startsWith(`${folder}/`)) ?? true;
  }
}

/** Go's `filepath.Clean`: no slash at the end, `.` for nothing. */
function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

function compilePattern(raw: string, line: number): IgnorePattern | undefined {
  let text = raw.trim();
  if (text === '') return undefined;
  text = cleanPath(text);
  const exception = text.startsWith('!');
  if (exception) text = text.slice(1);
  if (text === '' || compileWildcard(text) === undefined) throw new PatternError(raw, line);
  return { text, line, exception, matches: compileMatcher(text, line) };
}

function compileMatcher(text: string, line: number): (path: string) => boolean {
  let source = '';
  let kind: 'exact' | 'prefix' | 'suffix' | 'expression' = 'exact';
  const characters = [...text];
  for (let index = 0, token = 0; index < characters.length; index++, token++) {
    const character = characters[index]!;
    if (character === '*' && characters[index + 1] === '*') {
      index++;
      if (characters[index + 1] === '/') index++;
      if (index + 1 < characters.length) {
        source += '(.*/)?';
        kind = 'expression';
      } else if (kind === 'exact') kind = 'prefix';
      else {
        source += '.*';
        kind = 'expression';
      }
      if (token === 0) kind = 'suffix';
    } else if (character === '*' || character === '?') {
      source += character === '*' ? '[^/]*' : '[^/]';
      kind = 'expression';
    } else if (character === '\\') {
      const escaped = characters[++index];
      // Docker hands escapes to Go's regular expressions, where letters have meanings of their own.
      if (escaped !== undefined && /[0-9a-zA-Z]/.test(escaped) && !/[adswDSWfnrtvbB]/.test(escaped)) {
        throw new PatternError(text, line);
      }
      source += escaped === undefined ? '\\\\' : escaped === 'a' ? '\\x07' : `\\${escaped}`;
      if (escaped !== undefined) kind = 'expression';
    } else if (character === '[' || character === ']') {
      source += character;
      kind = 'expression';
    } else source += /[.+()|{}$]/.test(character) ? `\\${character}` : character;
  }
  if (kind === 'exact') return (path) => path === text;
  if (kind === 'prefix') return (path) => path.startsWith(text.slice(0, -2));
  if (kind === 'suffix') {
    const suffix = text.slice(2);
    return (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1));
  }
  let expression: RegExp;
  try {
    expression = new RegExp(`^${source}$`);
  } catch {
    throw new PatternError(text, line);
  }
  return (path) => expression.test(path);
}
