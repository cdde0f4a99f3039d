import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Platform } from '../platform';
import { type Closure, closureOf, compiledFiles } from './closure';
import { GoTree, inFolder, prefixes } from './packages';
import { type GoFileHeader, scanGoFile } from './scan';

/** A program whose sources are looked at again and again. */
export interface Program {
  /** Folder that other paths start at; absolute. What lies outside is third-party code. */
  readonly root: string;
  /** Folder of the main package, from `root`, with `/` between; '' is `root`. */
  readonly main: string;
  readonly platform: Platform;
  readonly cgo: boolean;
  readonly tags: readonly string[];
}

/** What a program was made of at one moment. */
export interface Snapshot {
  /** A digest for each file that its build reads, by its path from the root. */
  readonly files: ReadonlyMap<string, string>;
  /** Absolute folders: what joins, changes or leaves `files` does so in one of them. All exist. */
  readonly folders: readonly string[];
}

interface Entry {
  readonly stamp: string;
  readonly digest: string;
  /** Undefined for what can't be read as Go. */
  readonly header: GoFileHeader | undefined;
}

/** What may change within the resolution of a file system's clock is read again: FAT counts in 2 s. */
const unsettledMs = 2000;

/**
 * Reads what a program is made of, in the folders of its closure alone: unlike the graph it needs no list of the
 * workspace's files, and sees what git ignores as the go command does. What the last look found is known by size and times.
 * Packages that only third-party code could import are left out.
 */
export class ProgramSources {
  private known = new Map<string, Entry>();
  private current = new Map<string, Entry>();
  private folders = new Map<string, readonly Dirent[] | undefined>();

  constructor(private readonly program: Program) {}

  /** Never fails: what is not there, or can't be read, is part of no program. */
  read(): Snapshot {
    this.current = new Map();
    this.folders = new Map();
    this.list(this.program.main);
    const names = this.closureFiles();
    const files = new Map<string, string>();
    for (const name of [...new Set(names)].sort()) {
      const entry = this.entry(name);
      if (entry) files.set(name, entry.digest);
    }
    this.known = this.current;
    const folders = [...this.folders].flatMap(([dir, entries]) => (entries ? [join(this.program.root, dir)] : []));
    return { files, folders };
  }

  private closureFiles(): string[] {
    for (;;) {
      const tree = new GoTree({
        files: [...this.folders.keys()].flatMap((dir) => this.names(dir).map((name) => inFolder(dir, name))),
        read: (file) => this.bytes(file),
        scan: (file) => this.entry(file)?.header ?? scanGoFile(this.bytes(file) ?? new Uint8Array(), file),
      });
      const { main, platform, cgo, tags } = this.program;
      const module = tree.moduleOf(main);
      // No go.mod: until there is one, the main package's own files are all that can be said.
      if (!module) return this.names(main).map((name) => inFolder(main, name));
      const request = {
        dirs: [main],
        module,
        platforms: [platform],
        cgo,
        tags,
        tests: false,
        staysOutside: () => true,
      };
      const closure = closureOf(tree, request);
      const { vendorDir } = tree.context(module);
      const vendored = vendorDir === undefined ? [] : closure.external.map((path) => inFolder(vendorDir, path));
      // A package whose folder was not listed counts as missing: it is listed then, and the tree is read once more.
      const unlisted = [...closure.dirs, ...closure.absent, ...vendored].filter((dir) => !this.folders.has(dir));
      for (const dir of unlisted) this.list(dir);
      if (unlisted.length === 0) {
        const compiled = closure.dirs.flatMap((dir) =>
          compiledFiles(tree, request, dir, this.names(dir)).map((name) => inFolder(dir, name)),
        );
        return [...compiled, ...closure.moduleFiles, ...this.embedded(closure)];
      }
    }
  }

  /** Lists a folder, those above it (a go.mod there decides what it belongs to), and `vendor` in each, where there is one. */
  private list(dir: string): readonly Dirent[] {
    for (const folder of [...(dir === '' ? [] : prefixes(dir)), '']) {
      if (this.folders.has(folder)) continue;
      const entries = readFolder(join(this.program.root, folder));
      this.folders.set(folder, entries);
      if (entries?.some((entry) => entry.name === 'vendor' && entry.isDirectory()))
        this.list(inFolder(folder, 'vendor'));
    }
    return this.folders.get(dir) ?? [];
  }

  private names(dir: string): string[] {
    return this.list(dir).flatMap((entry) => (entry.isDirectory() ? [] : [entry.name]));
  }

  /** Files that the closure embeds, hidden ones left out where a folder is meant. https://pkg.go.dev/embed#hdr-Directives */
  private embedded({ embeds }: Closure): string[] {
    return embeds.flatMap(({ dir, pattern }) => {
      const all = pattern.startsWith('all:');
      const parts = pattern
        .replace(/^all:/, '')
        .split('/')
        .filter((part) => part !== '.');
      let found = [dir];
      for (const part of parts.slice(0, -1)) {
        found = found.flatMap((folder) => this.matching(folder, part, (entry) => entry.isDirectory()));
      }
      const last = parts.at(-1);
      if (last === undefined) return this.below(dir, all);
      return found.flatMap((folder) => [
        ...this.matching(folder, last, (entry) => !entry.isDirectory()),
        ...this.matching(folder, last, (entry) => entry.isDirectory()).flatMap((match) => this.below(match, all)),
      ]);
    });
  }

  private matching(dir: string, pattern: string, is: (entry: Dirent) => boolean): string[] {
    const matches = nameMatcher(pattern);
    return this.list(dir).flatMap((entry) =>
      is(entry) && matches.test(entry.name) ? [inFolder(dir, entry.name)] : [],
    );
  }

  private below(dir: string, all: boolean): string[] {
    return this.list(dir).flatMap((entry) => {
      if (!all && /^[._]/.test(entry.name)) return [];
      const path = inFolder(dir, entry.name);
      return entry.isDirectory() ? this.below(path, all) : [path];
    });
  }

  private entry(file: string): Entry | undefined {
    const seen = this.current.get(file);
    if (seen) return seen;
    const status = statusOf(join(this.program.root, file));
    if (!status?.isFile()) return undefined;
    const { size, mtimeMs, ctimeMs, ino } = status;
    const isSettled = Math.max(mtimeMs, ctimeMs) < Date.now() - unsettledMs;
    const stamp = isSettled ? `${size} ${mtimeMs} ${ctimeMs} ${ino}` : '';
    const former = this.known.get(file);
    const entry = former && isSettled && former.stamp === stamp ? former : this.newEntry(file, stamp);
    if (entry) this.current.set(file, entry);
    return entry;
  }

  private newEntry(file: string, stamp: string): Entry | undefined {
    const bytes = this.bytes(file);
    if (!bytes) return undefined;
    return { stamp, digest: createHash('sha256').update(bytes).digest('hex'), header: headerOf(bytes, file) };
  }

  private bytes(file: string): Buffer | undefined {
    try {
      return readFileSync(join(this.program.root, file));
    } catch {
      return undefined;
    }
  }
}

function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function readFolder(folder: string): readonly Dirent[] | undefined {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return undefined;
  }
}

function headerOf(bytes: Uint8Array, file: string): GoFileHeader | undefined {
  try {
    return file.endsWith('.go') ? scanGoFile(bytes, file) : undefined;
  } catch {
    return undefined;
  }
}

/** One element of a pattern of https://pkg.go.dev/path#Match. */
function nameMatcher(pattern: string): RegExp {
  const source = pattern.replace(/\\(.)|\[(\^?)((?:\\.|[^\]\\])+)\]|[\s\S]/gu, (text, escaped, negation, members) => {
    if (members !== undefined) return `[${negation}${members.replace(/\[/g, '\\[')}]`;
    if (text === '*') return '.*';
    if (text === '?') return '.';
    return (escaped ?? text).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`, 'su');
  } catch {
    // The compiler says what is wrong with it.
    return /^$/;
  }
}
