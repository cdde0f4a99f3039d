import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type GoFileHeader, headBytes, scanGoFile, scanGoHead } from '../go/scan';

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
  private readonly former: ReadonlyMap<string, Entry>;
  private readonly current = new Map<string, Entry>();
  private read = 0;
  private readonly buffer = Buffer.allocUnsafe(headBytes + 1);

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
    const { id, entries } = readEntries(file, version);
    this.id = id;
    this.former = entries;
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
    for (const [name, { content }] of this.former) {
      try {
        if (this.entry(name).content !== content) return false;
      } catch {
        return false;
      }
    }
    return true;
  }

  /** Keeps what was asked for since it was made, if that is more than was known. Never fails: it is only a cache. */
  save(id: string | undefined): void {
    if (this.id === id && this.read < worthWriting) return;
    const settledMs = Date.now() - unsettledMs;
    const lines = [JSON.stringify([this.version, id ?? null])];
    for (const [name, { sizeBytes, modifiedMs, changedMs, content }] of this.current) {
      const isSettled = Math.max(modifiedMs, changedMs) < settledMs;
      lines.push(
        `${isSettled ? sizeBytes : unsettled}\t${modifiedMs}\t${changedMs}\t${JSON.stringify(name)}\t${content}`,
      );
    }
    writeCache(this.file, lines.join('\n'));
  }

  private entry(name: string): Entry {
    const seen = this.current.get(name);
    if (seen) return seen;
    const path = join(this.root, name);
    const known = this.former.get(name);
    const status = statSync(path, { throwIfNoEntry: false });
    const entry = known && isStamped(known, status) ? known : this.newEntry(path, name, status);
    this.current.set(name, entry);
    return entry;
  }

  private newEntry(path: string, name: string, status: Stats | undefined): Entry {
    if (!status?.isFile()) return absent;
    this.read++;
    const { size: sizeBytes, mtimeMs: modifiedMs, ctimeMs: changedMs } = status;
    const content = JSON.stringify(name.endsWith('.go') ? this.scan(path, name) : readText(path)) ?? 'null';
    return { sizeBytes, modifiedMs, changedMs, content };
  }

  private scan(path: string, name: string): GoFileHeader {
    const file = openSync(path, 'r');
    try {
      const length = readSync(file, this.buffer, 0, this.buffer.length, 0);
      if (length <= headBytes) return scanGoFile(this.buffer.subarray(0, length), name);
      return scanGoHead(this.buffer.subarray(0, headBytes), name) ?? scanGoFile(readFileSync(file), name);
    } finally {
      closeSync(file);
    }
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
function readEntries(
  file: string,
  version: string,
): { readonly id?: string | undefined; readonly entries: Map<string, Entry> } {
  const entries = new Map<string, Entry>();
  try {
    const [head, ...lines] = readFileSync(file, 'utf8').split('\n');
    const [writer, id] = JSON.parse(head!) as [string, string | null];
    if (writer !== version) return { entries };
    for (const line of lines) {
      const [size, modified, changed, name, content] = line.split('\t') as [string, string, string, string, string];
      entries.set(JSON.parse(name), {
        sizeBytes: Number(size),
        modifiedMs: Number(modified),
        changedMs: Number(changed),
        content,
      });
    }
    return { id: id ?? undefined, entries };
  } catch {
    // None yet, or one that was cut off.
    return { entries: new Map() };
  }
}

/** Writes a file of the cache as a whole. Never fails: without it everything is worked out again. */
export function writeCache(file: string, text: string): void {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } catch {
    if (existsSync(temporary)) rmSync(temporary, { force: true });
  }
}
