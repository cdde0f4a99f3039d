import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type GoFileHeader, scanGoFile } from '../go/scan';

/** What was read of one file, and its size and times then: a change of its content changes one of them. */
interface Entry {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  /** JSON: a Go file's header, another file's text, null where there is none. */
  readonly content: string;
}

/** What may change within the resolution of a file system's clock is not trusted: FAT counts in 2 s. */
const unsettledMs = 2000;
const absent = { sizeBytes: -1, modifiedMs: 0, changedMs: 0, content: 'null' };

/**
 * What the graph reads of a workspace, kept in a file from one Nx command to the next: to ask for a file's size and times
 * costs a tenth of reading and scanning it. Nx starts a new process for a plugin with each graph, so that memory keeps nothing.
 */
export class SourceCache {
  /** Names what else was kept with this: two commands at once may each write one of two files last. */
  readonly id: string | undefined;
  /** A line for each file. */
  private readonly lines: readonly string[];
  private entries: ReadonlyMap<string, Entry> | undefined;
  private readonly current = new Map<string, Entry>();
  private read = 0;

  /**
   * @param root folder that the names of files start at
   * @param file where it is kept; what is there and can't be read counts as nothing
   * @param version of the code that reads: what another one kept is not taken
   */
  constructor(
    private readonly root: string,
    private readonly file: string,
    private readonly version: string,
  ) {
    const { id, lines } = readLines(file, version);
    this.id = id;
    this.lines = lines;
  }

  /** The header of a Go file. @throws GO_FILE_INVALID */
  header(name: string): GoFileHeader {
    return JSON.parse(this.entry(name).content) ?? scanGoFile(new Uint8Array(), name);
  }

  /** A file's text; undefined where there is none. */
  text(name: string): string | undefined {
    return JSON.parse(this.entry(name).content) ?? undefined;
  }

  /** Whether everything that was read the last time, and that there was none, would be read the same now. */
  isUnchanged(): boolean {
    if (this.id === undefined) return false;
    // Most files are as they were: nothing is made for those but the question.
    for (const line of this.lines) {
      const known = parseLine(line);
      const { name } = known;
      const status = this.statusOf(name);
      if (isStamped(known, status)) continue;
      try {
        const entry = this.newEntry(name, status);
        if (entry.content !== known.content) return false;
        this.current.set(name, entry);
      } catch {
        return false;
      }
    }
    return true;
  }

  /** Keeps what was asked for since it was made, if that is more than was known. Never fails: it is only a cache. */
  save(id: string | undefined): void {
    const isSame = this.id === id;
    if (isSame && this.read < worthWriting) return;
    const settledMs = Date.now() - unsettledMs;
    const lines = [JSON.stringify([this.version, id ?? null])];
    for (const [name, { sizeBytes, modifiedMs, changedMs, content }] of new Map([
      ...(isSame ? this.former() : []),
      ...this.current,
    ])) {
      const isSettled = Math.max(modifiedMs, changedMs) < settledMs;
      const stamp = `${isSettled ? sizeBytes : unsettled}\t${modifiedMs}\t${changedMs}`;
      lines.push(`${stamp}\t${JSON.stringify(name)}\t${content}`);
    }
    writeCache(this.file, lines.join('\n'));
  }

  private former(): ReadonlyMap<string, Entry> {
    this.entries ??= new Map(
      this.lines.map((line) => {
        const entry = parseLine(line);
        return [entry.name, entry];
      }),
    );
    return this.entries;
  }

  private statusOf(name: string): Stats | undefined {
    // `join` would take as long as the question itself.
    return statSync(`${this.root}/${name}`, { throwIfNoEntry: false });
  }

  private entry(name: string): Entry {
    const seen = this.current.get(name);
    if (seen) return seen;
    const known = this.former().get(name);
    const status = this.statusOf(name);
    const entry = known && isStamped(known, status) ? known : this.newEntry(name, status);
    this.current.set(name, entry);
    return entry;
  }

  private newEntry(name: string, status: Stats | undefined): Entry {
    const path = join(this.root, name);
    if (!status?.isFile()) return absent;
    this.read++;
    const { size: sizeBytes, mtimeMs: modifiedMs, ctimeMs: changedMs } = status;
    const content =
      JSON.stringify(name.endsWith('.go') ? scanGoFile(readFileSync(path), name) : readText(path)) ?? 'null';
    return { sizeBytes, modifiedMs, changedMs, content };
  }
}

/** So many files read again make it worth while to write what is known of all. */
const worthWriting = 100;
/** In place of a size: the file is read again the next time. */
const unsettled = -2;

function isStamped(known: Entry, status: Stats | undefined): boolean {
  if (!status?.isFile()) return known.sizeBytes === absent.sizeBytes;
  return known.sizeBytes === status.size && known.modifiedMs === status.mtimeMs && known.changedMs === status.ctimeMs;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** A line of version and id, then a line for each file: no JSON as a whole, for that takes three times as long to read. */
function readLines(
  file: string,
  version: string,
): { readonly id: string | undefined; readonly lines: readonly string[] } {
  const nothing = { id: undefined, lines: [] };
  try {
    const [head, ...lines] = readCache(file).split('\n');
    const [writer, id] = JSON.parse(head!) as [string, string | null];
    if (writer !== version) return nothing;
    return { id: id ?? undefined, lines };
  } catch {
    // None yet, or one that was cut off.
    return nothing;
  }
}

function parseLine(line: string): Entry & { readonly name: string } {
  const second = line.indexOf('\t') + 1;
  const third = line.indexOf('\t', second) + 1;
  const fourth = line.indexOf('\t', third) + 1;
  const fifth = line.indexOf('\t', fourth) + 1;
  const name = line.slice(fourth + 1, fifth - 2);
  return {
    sizeBytes: +line.slice(0, second - 1),
    modifiedMs: +line.slice(second, third - 1),
    changedMs: +line.slice(third, fourth - 1),
    name: name.includes('\\') ? JSON.parse(`"${name}"`) : name,
    content: line.slice(fifth),
  };
}

/** @throws what the file system does */
export function readCache(file: string): string {
  return readFileSync(file, 'latin1');
}

/** Writes a file of the cache as a whole, JSON in lines: with ASCII alone it is read in half the time. Never fails: without it everything is worked out again. */
export function writeCache(file: string, text: string): void {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    const ascii = text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
    writeFileSync(temporary, ascii, 'latin1');
    renameSync(temporary, file);
  } catch {
    if (existsSync(temporary)) rmSync(temporary, { force: true });
  }
}
