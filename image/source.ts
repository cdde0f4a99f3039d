import type { BuildContext } from './context';
import type { FileContent } from './image';
import type { FileTree, Metadata } from './tree';

/** Something that can be copied. */
export type SourceEntry = Metadata &
  (
    | { readonly type: 'file'; readonly content: FileContent }
    | { readonly type: 'directory' }
    | { readonly type: 'symlink'; readonly target: string }
    /** A socket, pipe or device: it can be seen but not copied. */
    | { readonly type: 'other' }
  );

/** Where COPY and ADD read from: the build context or another stage. Paths as in `FileTree`. */
export interface Source {
  /** The build context, where there is one: for messages. */
  readonly context: BuildContext | undefined;
  /** Links are not followed. */
  lstat(path: string): SourceEntry | undefined;
  /** Names in a directory, sorted. */
  list(path: string): readonly string[];
}

/** The build context: everything in it belongs to root. */
export function contextSource(context: BuildContext): Source {
  return {
    context,
    lstat: (path) => {
      const entry = context.lstat(path);
      if (!entry) return undefined;
      const metadata = { mode: entry.mode, uid: 0, gid: 0 };
      switch (entry.type) {
        case 'file': {
          const content = { path: context.diskPath(path), offsetBytes: 0, sizeBytes: entry.sizeBytes };
          return { ...metadata, type: 'file', content };
        }
        case 'symlink':
          return { ...metadata, type: 'symlink', target: entry.target! };
        default:
          return { ...metadata, type: entry.type };
      }
    },
    list: (path) => context.list(path),
  };
}

/** The files of another stage, with their owners. */
export function treeSource(tree: FileTree): Source {
  return {
    context: undefined,
    lstat: (path) => tree.get(path),
    list: (path) => {
      const node = tree.get(path);
      return node?.type === 'directory' ? [...node.children.keys()].sort() : [];
    },
  };
}

/** One file that the Dockerfile itself holds (a heredoc). */
export function inlineSource(name: string, content: string): Source {
  const path = name.replace(/^\/+/, '');
  const file: SourceEntry = { type: 'file', mode: 0o644, uid: 0, gid: 0, content: new TextEncoder().encode(content) };
  return { context: undefined, lstat: (asked) => (asked === path ? file : undefined), list: () => [path] };
}
