import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type GoFileHeader, headBytes, scanGoFile, scanGoHead } from '../go/scan';

/** A file's size and times in ms; a change of its content changes one of them. */
type Stamp = readonly [sizeBytes: number, modifiedMs: number, changedMs: number];

interface Entry {
  readonly stamp: Stamp;
  readonly header: GoFileHeader;
}

/** What may change within the resolution of a file system's clock is not trusted: FAT counts in 2 s. */
const unsettledMs = 2000;

/**
 * Headers of Go files, kept in a file from one Nx command to the next: to ask for a file's size and times costs a tenth of
 * reading and scanning it. Nx starts a new process for a plugin now and then, so that memory alone keeps nothing.
 */
export class HeaderCache {
  private readonly former: Readonly<Record<string, Entry>>;
  private readonly current: Record<string, Entry> = {};
  private scanned = 0;
  private readonly buffer = Buffer.allocUnsafe(headBytes + 1);

  /**
   * @param root folder that the names of files start at
   * @param file where it is kept; what is there and can't be read counts as nothing
   */
  constructor(
    private readonly root: string,
    private readonly file: string,
  ) {
    this.former = readEntries(file);
  }

  /** The header of a Go file. @throws GO_FILE_INVALID */
  scan(name: string): GoFileHeader {
    const path = join(this.root, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (!status) return scanGoFile(new Uint8Array(), name);
    const stamp: Stamp = [status.size, status.mtimeMs, status.ctimeMs];
    const known = this.former[name];
    if (known?.stamp.every((value, index) => value === stamp[index])) {
      this.current[name] = known;
      return known.header;
    }
    this.scanned++;
    const header = this.read(path, name);
    this.current[name] = { stamp, header };
    return header;
  }

  /** Keeps what was asked for since it was made, if that is another thing than is there. Never fails: it is only a cache. */
  save(): void {
    const names = Object.keys(this.current);
    if (this.scanned === 0 && names.length === Object.keys(this.former).length) return;
    const settledMs = Date.now() - unsettledMs;
    const entries = Object.fromEntries(
      names.flatMap((name) => {
        const entry = this.current[name]!;
        return Math.max(entry.stamp[1], entry.stamp[2]) < settledMs ? [[name, entry]] : [];
      }),
    );
    const temporary = `${this.file}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      mkdirSync(dirname(this.file), { recursive: true });
      writeFileSync(temporary, JSON.stringify({ scanner: scannerDigest(), entries }));
      renameSync(temporary, this.file);
    } catch {
      rmSync(temporary, { force: true });
    }
  }

  private read(path: string, name: string): GoFileHeader {
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

function readEntries(file: string): Readonly<Record<string, Entry>> {
  try {
    const { scanner, entries } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    if (scanner === scannerDigest()) return entries as Record<string, Entry>;
  } catch {
    // None yet, or one that was cut off.
  }
  return {};
}

/** Another version of the scanner may read the same file otherwise. */
function scannerDigest(): string {
  return createHash('sha256')
    .update(readFileSync(require.resolve('../go/scan')))
    .digest('hex');
}
