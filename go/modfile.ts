import { SlimGoError } from '../errors';
import { unquote } from './scan';

/** A `require` line. Lines count from 1. */
interface Requirement {
  readonly path: string;
  readonly version: string;
  readonly line: number;
}

/** A `replace` line. `newPath` is a folder (relative to the file, or absolute) exactly where `newVersion` is absent. */
export interface Replacement {
  readonly oldPath: string;
  readonly oldVersion?: string;
  readonly newPath: string;
  readonly newVersion?: string;
  readonly line: number;
}

/** A version with the line that asks for it: `1.24.0` of `go`, `go1.25.1` of `toolchain`. */
interface VersionLine {
  readonly version: string;
  readonly line: number;
}

/** go.mod, as far as it decides what is built. https://go.dev/ref/mod#go-mod-file */
export interface ModFile {
  readonly module: string;
  readonly go?: VersionLine;
  readonly toolchain?: VersionLine;
  readonly requires: readonly Requirement[];
  readonly replaces: readonly Replacement[];
  /** `default=go1.21`, as they are written. */
  readonly godebugs: readonly string[];
  /** Folders that `./...` leaves out: `./x` is that folder, `x` any folder of that name. */
  readonly ignores: readonly string[];
  /** Import paths of the programs that `go tool` runs. */
  readonly tools: readonly string[];
}

/** go.work. https://go.dev/ref/mod#go-work-file */
export interface WorkFile {
  readonly go?: VersionLine;
  readonly toolchain?: VersionLine;
  /** Folders as they are written: `./apps/hello`, relative to the file, or absolute. */
  readonly uses: readonly string[];
  readonly replaces: readonly Replacement[];
  /** As in go.mod. */
  readonly godebugs: readonly string[];
}

/** Reads a go.mod; `file` is named in errors. @throws GO_FILE_INVALID */
export function parseModFile(text: string, file: string): ModFile {
  let module: string | undefined;
  const requires: Requirement[] = [];
  const ignores: string[] = [];
  const godebugs: string[] = [];
  const tools: string[] = [];
  const { replaces, versions } = readDirectives(text, file, (verb, words, line, fail) => {
    if (verb === 'module') {
      if (module !== undefined) throw fail('there is a second "module"');
      if (words.length !== 1) throw fail('"module" takes one path');
      module = words[0];
    } else if (verb === 'require') {
      const [path, version] = words;
      if (path === undefined || version === undefined || words.length > 2)
        throw fail('"require" takes a path and a version');
      requires.push({ path, version, line });
    } else if (verb === 'ignore') {
      if (words.length !== 1) throw fail('"ignore" takes one folder');
      ignores.push(words[0]!);
    } else if (verb === 'tool') {
      if (words.length !== 1) throw fail('"tool" takes one import path');
      tools.push(words[0]!);
    } else if (verb === 'godebug') godebugs.push(words.join(' '));
    else if (!['exclude', 'retract'].includes(verb)) throw fail(`"${verb}" is not a directive of go.mod`);
  });
  if (module === undefined) {
    throw new SlimGoError('GO_FILE_INVALID', `${file}: it has no "module" line.`, {
      hint: 'Write "module <path>" at its top, for example "module example.com/acme".',
    });
  }
  return { module, ...versions, requires, replaces, ignores, godebugs, tools };
}

/** Reads a go.work; `file` is named in errors. @throws GO_FILE_INVALID */
export function parseWorkFile(text: string, file: string): WorkFile {
  const uses: string[] = [];
  const godebugs: string[] = [];
  const { replaces, versions } = readDirectives(text, file, (verb, words, _line, fail) => {
    if (verb === 'use') {
      if (words.length !== 1) throw fail('"use" takes one folder');
      uses.push(words[0]!);
    } else if (verb === 'godebug') godebugs.push(words.join(' '));
    else throw fail(`"${verb}" is not a directive of go.work`);
  });
  return { ...versions, uses, replaces, godebugs };
}

type Fail = (problem: string) => SlimGoError;

/** Walks the lines of both files; `go`, `toolchain` and `replace` are the same in them. */
function readDirectives(
  text: string,
  file: string,
  other: (verb: string, words: readonly string[], line: number, fail: Fail) => void,
): { replaces: Replacement[]; versions: { go?: VersionLine; toolchain?: VersionLine } } {
  const replaces: Replacement[] = [];
  const versions: { go?: VersionLine; toolchain?: VersionLine } = {};
  let block: string | undefined;
  let line = 0;
  for (const content of text.replace(/^\uFEFF/, '').split('\n')) {
    line++;
    const fail: Fail = (problem) =>
      new SlimGoError('GO_FILE_INVALID', `${file}:${line}: ${problem}.`, {
        hint: 'See https://go.dev/ref/mod#go-mod-file',
      });
    const words = splitLine(content, fail);
    const [first] = words;
    if (first === undefined) continue;
    if (block !== undefined && first === ')') {
      if (words.length > 1) throw fail('nothing may follow ")"');
      block = undefined;
      continue;
    }
    if (block === undefined && words[1] === '(') {
      // `exclude ()` on one line is an empty block.
      if (words.length === 2) block = first;
      else if (words[2] !== ')' || words.length > 3) throw fail('a block starts with "(" at the end of its line');
      continue;
    }
    const verb = block ?? first;
    const rest = block === undefined ? words.slice(1) : words;
    if (verb === 'go' || verb === 'toolchain') {
      if (rest.length !== 1) throw fail(`"${verb}" takes one version`);
      if (versions[verb]) throw fail(`there is a second "${verb}"`);
      versions[verb] = { version: rest[0]!, line };
    } else if (verb === 'replace') replaces.push(replacement(rest, line, fail));
    else other(verb, rest.map(bare), line, fail);
  }
  if (block !== undefined) {
    throw new SlimGoError('GO_FILE_INVALID', `${file}:${line}: the "${block} (" block is not closed.`, {
      hint: 'Put a line with ")" at its end.',
    });
  }
  return { replaces, versions };
}

function replacement(words: readonly string[], line: number, fail: Fail): Replacement {
  const arrow = words.indexOf('=>');
  const [oldPath, oldVersion] = words.slice(0, Math.max(arrow, 0)).map(bare);
  const [newPath, newVersion] = words.slice(arrow + 1).map(bare);
  if (arrow < 1 || arrow > 2 || oldPath === undefined || newPath === undefined || words.length - arrow > 3) {
    throw fail('"replace" is written "replace <path> [version] => <path or folder> [version]"');
  }
  return {
    oldPath,
    ...(oldVersion === undefined ? {} : { oldVersion }),
    newPath,
    ...(newVersion === undefined ? {} : { newVersion }),
    line,
  };
}

/** A quoted word still has its quotes after `splitLine`, so that `"("` is no parenthesis. */
function bare(word: string): string {
  return unquote(word) ?? word;
}

function splitLine(content: string, fail: Fail): string[] {
  const words: string[] = [];
  let rest = content.trim();
  while (rest !== '' && !rest.startsWith('//')) {
    if (rest.startsWith('/*')) throw fail('module files have no /* */ comments');
    const word = /^(?:[()]|=>|"(?:[^"\\]|\\.)*")/.exec(rest)?.[0] ?? bareWord(rest);
    // The grammar has raw strings, the go command takes none.
    if (!word.startsWith('"') && /["'`]/.test(word)) throw fail(`${word} holds a quote: write it in double quotes`);
    if (word === '') throw fail(`"${rest}" is not closed`);
    words.push(word);
    rest = rest.slice(word.length).trimStart();
  }
  return words;
}

function bareWord(text: string): string {
  if (text[0] === '"') return '';
  const end = /[\s()]|\/\/|\/\*/.exec(text)?.index;
  return end === undefined ? text : text.slice(0, end);
}
