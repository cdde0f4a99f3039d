import { createHash } from 'node:crypto';
import { createReadStream, lstatSync, readdirSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { SlimGoError } from '../errors';
import { IgnorePatterns, type ParentMatches, PatternError } from './dockerfile/patterns';

/** Something in the build context, links not followed. */
export interface ContextEntry {
  /** Relative to the root, `/`-separated; '' is the root. */
  readonly path: string;
  /** `other`: a socket, pipe or device, which no image can hold. */
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  /** 0 to 0o7777. On Windows, which has no modes, 0o755 as Docker's client sends. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** Of a symlink, `/`-separated. */
  readonly target: string | undefined;
}

/** The .dockerignore in force: `<Dockerfile>.dockerignore` before `.dockerignore` at the root of the context. */
interface IgnoreFile {
  readonly path: string;
  readonly patterns: IgnorePatterns;
}

interface Known {
  readonly entry: ContextEntry | undefined;
  readonly matches: ParentMatches;
}

/**
 * A folder as Docker sees it: without what .dockerignore hides. Read lazily and kept, so that a COPY of one file looks at
 * that file alone and an ignored folder is never walked unless an exception (`!`) can reach into it.
 */
export class BuildContext {
  private readonly known = new Map<string, Known>();

  /** Use `openContext`. */
  constructor(
    /** Absolute. */
    readonly root: string,
    private readonly ignore: IgnoreFile | undefined,
  ) {}

  /** Absolute path of the .dockerignore in force. */
  get ignorePath(): string | undefined {
    return this.ignore?.path;
  }

  /** The entry at a path whose folders are real folders; undefined where there is none or it is ignored. */
  lstat(path: string): ContextEntry | undefined {
    return this.look(path).entry;
  }

  /** Names in a folder, ignored ones left out, in the order of their bytes. */
  list(path: string): readonly string[] {
    const prefix = path === '' ? '' : `${path}/`;
    return readdirSync(this.diskPath(path))
      .filter((name) => this.lstat(prefix + name) !== undefined)
      .sort(compareBytes);
  }

  /** Absolute path on disk. */
  diskPath(path: string): string {
    return path === '' ? this.root : join(this.root, ...path.split('/'));
  }

  /** Why an entry that exists on disk is not in the context; undefined where it is, or does not exist. */
  ignoredBy(path: string): { readonly file: string; readonly line: number; readonly pattern: string } | undefined {
    if (!this.ignore || this.lstat(path) || !lstatSync(this.diskPath(path), { throwIfNoEntry: false }))
      return undefined;
    const pattern = this.ignore.patterns.decidedBy(path);
    return pattern && { file: this.ignore.path, line: pattern.line, pattern: pattern.text };
  }

  private look(path: string): Known {
    let known = this.known.get(path);
    if (!known) {
      known = this.read(path);
      this.known.set(path, known);
    }
    return known;
  }

  private read(path: string): Known {
    if (path === '') {
      const entry: ContextEntry = { path, type: 'directory', mode: 0o755, sizeBytes: 0, target: undefined };
      return { entry, matches: [] };
    }
    const slash = path.lastIndexOf('/');
    const parent = this.look(slash < 0 ? '' : path.slice(0, slash));
    if (parent.entry && parent.entry.type !== 'directory') return { entry: undefined, matches: [] };
    const disk = this.diskPath(path);
    const stats = lstatSync(disk, { throwIfNoEntry: false });
    if (!stats) return { entry: undefined, matches: [] };
    const entry = toEntry(path, disk, stats);
    if (!this.ignore) return { entry, matches: [] };
    const { ignored, matches } = this.ignore.patterns.match(path, parent.matches);
    if (!ignored) return { entry, matches };
    if (entry.type !== 'directory' || !this.ignore.patterns.mayHaveExceptionsIn(path)) {
      return { entry: undefined, matches };
    }
    // An ignored folder is there all the same when an exception keeps something in it.
    this.known.set(path, { entry, matches });
    return { entry: this.list(path).length > 0 ? entry : undefined, matches };
  }
}

function toEntry(path: string, disk: string, stats: Stats): ContextEntry {
  const type = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'directory'
      : stats.isSymbolicLink()
        ? 'symlink'
        : 'other';
  return {
    path,
    type,
    mode: type === 'symlink' ? 0o777 : process.platform === 'win32' ? 0o755 : stats.mode & 0o7777,
    sizeBytes: stats.size,
    target: type === 'symlink' ? readlinkSync(disk).split(sep).join('/') : undefined,
  };
}

/** By bytes of UTF-8, so that the order is the same everywhere. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * Opens a build context.
 * @param root the context's folder
 * @param dockerfile path of the Dockerfile, which may lie elsewhere: its own `<Dockerfile>.dockerignore` wins
 * @throws CONTEXT_INVALID no such folder, or a malformed .dockerignore
 */
export function openContext(root: string, dockerfile: string): BuildContext {
  const absolute = resolve(root);
  // The folder itself may be reached through a link; what is inside is never followed.
  const folder = statSync(absolute, { throwIfNoEntry: false });
  if (!folder?.isDirectory()) {
    throw new SlimGoError('CONTEXT_INVALID', `The build context ${root} is ${folder ? 'no folder' : 'missing'}.`, {
      hint: 'Set "context" to the folder that COPY and ADD read from.',
    });
  }
  for (const path of [`${resolve(dockerfile)}.dockerignore`, join(absolute, '.dockerignore')]) {
    if (!lstatSync(path, { throwIfNoEntry: false })) continue;
    try {
      return new BuildContext(absolute, { path, patterns: IgnorePatterns.parse(readFileSync(path, 'utf8')) });
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw new SlimGoError('CONTEXT_INVALID', `${path}:${error.line}: ${error.message}.`, {
        hint: 'See https://docs.docker.com/build/concepts/context/#dockerignore-files.',
        cause: error,
      });
    }
  }
  return new BuildContext(absolute, undefined);
}

/** A build context as a tar for a container engine's build API. */
export interface PackedContext {
  /** What the API's `dockerfile` parameter must say: the Dockerfile's path inside the tar. */
  readonly dockerfile: string;
  /** Uncompressed tar, anew with each call. Fails with CONTEXT_INVALID when a file can't be read or changes while it is. */
  readonly stream: () => Readable;
}

/**
 * Packs the context for `POST /build`. The Dockerfile and the .dockerignore are always in it, ignored or not, for the
 * engine reads them from there; a Dockerfile outside of the context is put in under a name that nothing else has.
 * Owners are root and times 0, as the engine's builders want them.
 */
export function packContext(context: BuildContext, dockerfile: string): PackedContext {
  const dockerfilePath = resolve(dockerfile);
  const inside = contextPath(context.root, dockerfilePath);
  const name = inside ?? `.dockerfile.${createHash('sha256').update(dockerfilePath).digest('hex').slice(0, 16)}`;
  const extra = new Map<string, string>([[name, dockerfilePath]]);
  const ignoreName = context.ignorePath && contextPath(context.root, context.ignorePath);
  if (ignoreName) extra.set(ignoreName, context.ignorePath);
  return { dockerfile: name, stream: () => packStream(context, extra) };
}

/** @param extra files that are in it whatever the context says: path inside -> on the disk */
function packStream(context: BuildContext, extra: ReadonlyMap<string, string>): Readable {
  // Loaded here: describing and planning a Dockerfile must stay light.
  const { pack } = require('tar-stream') as typeof import('tar-stream');
  const tar = pack();
  const addFile = (path: string, disk: string, mode: number, size: number) =>
    new Promise<void>((done, fail) => {
      const header = { name: path, mode, size, type: 'file', mtime: new Date(0) } as const;
      const finish = (error?: Error | null) => (error ? fail(error) : done());
      if (size === 0) tar.entry(header, new Uint8Array(), finish);
      // `end` keeps to the size in the header; a file that shrank is reported by tar-stream.
      else
        createReadStream(disk, { end: size - 1 })
          .on('error', fail)
          .pipe(tar.entry(header, finish));
    });
  const addFolder = async (folder: string): Promise<void> => {
    for (const child of context.list(folder)) {
      const path = folder === '' ? child : `${folder}/${child}`;
      const entry = context.lstat(path)!;
      const header = { name: path, mode: entry.mode, mtime: new Date(0) };
      if (extra.has(path)) continue;
      if (entry.type === 'file') await addFile(path, context.diskPath(path), entry.mode, entry.sizeBytes);
      else if (entry.type === 'symlink') tar.entry({ ...header, type: 'symlink', linkname: entry.target! });
      else if (entry.type === 'directory') {
        tar.entry({ ...header, type: 'directory' });
        await addFolder(path);
      }
      // Sockets, pipes and devices are left out, as Docker's client does.
    }
  };
  const addAll = async () => {
    for (const [path, disk] of extra) {
      // Through a link if it is one: the engine needs the text.
      const text = readFileSync(disk);
      const mode = process.platform === 'win32' ? 0o755 : lstatSync(disk).mode & 0o777;
      tar.entry({ name: path, mode, mtime: new Date(0) }, text);
    }
    await addFolder('');
    tar.finalize();
  };
  addAll().catch((cause: Error) => {
    tar.destroy(
      new SlimGoError('CONTEXT_INVALID', `Packing the build context ${context.root} failed: ${cause.message}.`, {
        cause,
      }),
    );
  });
  return tar as unknown as Readable;
}

/** `/`-separated path inside the root; undefined outside. Folders are resolved by name, not through links. */
function contextPath(root: string, path: string): string | undefined {
  const result = join(relative(root, dirname(path)), basename(path));
  if (isAbsolute(result) || result === '..' || result.startsWith(`..${sep}`)) return undefined;
  return result.split(sep).join('/');
}
