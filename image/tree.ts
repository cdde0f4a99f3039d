import type { FileContent, LayerEntry } from './image';

/** Owner and permissions of a node. `mode` is 0 to 0o7777. */
export interface Metadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** It has extended attributes, which a copy would lose. */
  readonly hasAttributes?: true;
}

/** A node of an image's file system. Immutable but for a directory's children. */
export type Node =
  | (Metadata & { readonly type: 'directory'; readonly children: Map<string, Node> })
  | (Metadata & { readonly type: 'file'; readonly content: FileContent })
  | (Metadata & { readonly type: 'symlink'; readonly target: string })
  /** A socket, pipe or device of a base image: it can be seen but not copied. */
  | (Metadata & { readonly type: 'other' });

/** A path that can't be used as asked: something on the way is no directory, or links turn in a circle. */
export class PathError extends Error {}

/**
 * An image's root file system while its layers are made. Paths are relative to the root, `/`-separated, without leading
 * or trailing slash; '' is the root. What changes is noted until `takeLayer`.
 */
export class FileTree {
  private changed = new Set<string>();
  private replacedDirectories = new Set<string>();

  constructor(private readonly root: Node & { type: 'directory' } = emptyDirectory({ mode: 0o755, uid: 0, gid: 0 })) {}

  /** A tree of its own with the same content. */
  clone(): FileTree {
    return new FileTree(cloneNode(this.root) as Node & { type: 'directory' });
  }

  /** The node at a path; links are not followed. */
  get(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    if (path === '') return node;
    for (const name of path.split('/')) {
      if (node?.type !== 'directory') return undefined;
      node = node.children.get(name);
    }
    return node;
  }

  /**
   * Puts a node at a path whose parent is a directory. Whatever stood there is gone, except that a directory over a
   * directory keeps the children.
   * @throws PathError
   */
  set(path: string, node: Node): void {
    const { parent, name } = this.parentOf(path);
    const existing = parent.children.get(name);
    if (existing?.type === 'directory' && node.type !== 'directory') this.replacedDirectories.add(path);
    if (existing?.type === 'directory' && node.type === 'directory') {
      parent.children.set(name, { ...node, children: existing.children });
    } else parent.children.set(name, node);
    this.changed.add(path);
  }

  /** Makes a directory and those above it that are missing. @throws PathError */
  makeDirectories(path: string, metadata: Metadata): void {
    const existing = this.get(path);
    if (existing?.type === 'directory') return;
    if (existing) throw new PathError(`/${path} is no directory`);
    const slash = path.lastIndexOf('/');
    if (slash >= 0) this.makeDirectories(path.slice(0, slash), metadata);
    this.set(path, emptyDirectory(metadata));
  }

  /**
   * The real path behind a path: links on the way and at the end are followed, never out of `base`. What does not exist
   * is taken as it stands.
   * @throws PathError
   */
  resolve(path: string, base = ''): string {
    const resolved = resolveIn((inner) => this.get(joinPath(base, inner)), path);
    return joinPath(base, resolved);
  }

  /** Every file, with its path, in the order of their names. */
  *files(folder = ''): Generator<{ readonly path: string; readonly node: Node & { type: 'file' } }> {
    const node = this.get(folder);
    if (node?.type !== 'directory') return;
    for (const [name, child] of [...node.children].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = joinPath(folder, name);
      if (child.type === 'file') yield { path, node: child };
      else if (child.type === 'directory') yield* this.files(path);
    }
  }

  /** Takes away what is at a path, if anything is: for reading layers, whose own entries say so already. */
  remove(path: string): void {
    const slash = path.lastIndexOf('/');
    const parent = this.get(path.slice(0, Math.max(0, slash)));
    if (parent?.type === 'directory') parent.children.delete(path.slice(slash + 1));
  }

  /** What changed since the last call, parents first, as a layer's entries. Empty where nothing did. */
  takeLayer(): readonly LayerEntry[] {
    const paths = new Set<string>();
    for (const path of this.changed) {
      for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) paths.add(at);
    }
    const entries: LayerEntry[] = [];
    for (const path of [...paths].sort()) {
      const node = this.get(path);
      if (!node || node.type === 'other') continue;
      const { mode, uid, gid } = node;
      if (node.type === 'file') entries.push({ path, mode, uid, gid, type: 'file', content: node.content });
      else if (node.type === 'symlink') entries.push({ path, mode, uid, gid, type: 'symlink', target: node.target });
      else {
        entries.push({ path, mode, uid, gid, type: 'directory' });
        // A directory that was away in between has lost its content: the opaque mark says so.
        // https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#opaque-whiteout
        if (this.replacedDirectories.has(path)) {
          entries.push({
            path: `${path}/.wh..wh..opq`,
            mode: 0o600,
            uid: 0,
            gid: 0,
            type: 'file',
            content: new Uint8Array(),
          });
        }
      }
    }
    this.changed = new Set();
    this.replacedDirectories = new Set();
    return entries;
  }

  private parentOf(path: string): { parent: Node & { type: 'directory' }; name: string } {
    const slash = path.lastIndexOf('/');
    const folder = path.slice(0, Math.max(0, slash));
    const parent = this.get(folder);
    if (parent?.type !== 'directory') throw new PathError(`/${folder} is ${parent ? 'no directory' : 'missing'}`);
    return { parent, name: path.slice(slash + 1) };
  }
}

/** A directory without content. */
export function emptyDirectory(metadata: Metadata): Node & { type: 'directory' } {
  return { ...metadata, type: 'directory', children: new Map() };
}

function cloneNode(node: Node): Node {
  if (node.type !== 'directory') return node;
  return { ...node, children: new Map([...node.children].map(([name, child]) => [name, cloneNode(child)])) };
}

/** Joins and cleans: `..` never leaves the root. */
export function joinPath(...parts: readonly string[]): string {
  const result: string[] = [];
  for (const part of parts.join('/').split('/')) {
    if (part === '..') result.pop();
    else if (part !== '' && part !== '.') result.push(part);
  }
  return result.join('/');
}

/**
 * Follows every link of a path inside a root, as `chroot` would; what does not exist is taken as it stands.
 * @param leaves called with a link whose target is outside of the root, to refuse it
 * @throws PathError links that turn in a circle
 */
export function resolveIn(
  lstat: (path: string) => { readonly type: string; readonly target?: string | undefined } | undefined,
  path: string,
  leaves?: (link: string, target: string) => void,
): string {
  let pending = joinPath(path).split('/');
  let current = '';
  let links = 0;
  while (pending.length > 0) {
    const name = pending.shift()!;
    if (name === '') continue;
    const next = joinPath(current, name);
    const node = name === '..' ? undefined : lstat(next);
    if (node?.type !== 'symlink') {
      current = next;
      continue;
    }
    if (++links > 255) throw new PathError(`/${path} has too many symbolic links`);
    const target = node.target ?? '';
    if (leaves && escapes(current, target)) leaves(next, target);
    const from = target.startsWith('/') ? '' : current;
    pending = [...joinPath(from, target).split('/'), ...pending];
    current = '';
  }
  return current;
}

function escapes(folder: string, target: string): boolean {
  if (target.startsWith('/') || /^[a-zA-Z]:/.test(target)) return true;
  let depth = folder === '' ? 0 : folder.split('/').length;
  for (const part of target.split('/')) {
    if (part === '..') depth--;
    else if (part !== '' && part !== '.') depth++;
    if (depth < 0) return true;
  }
  return false;
}
