import { posix } from 'node:path';
import { SlimGoError } from '../errors';
import { isArchive, unpackArchive } from './archive-unpack';
import { nearNames } from './dockerfile/near';
import { compileWildcard, hasWildcard, IgnorePatterns, type ParentMatches, PatternError } from './dockerfile/patterns';
import type { CopyStep } from './dockerfile/plan';
import { findOwner, type Owner } from './owner';
import { inlineSource, type Source, type SourceEntry } from './source';
import { type FileTree, joinPath, type Metadata, resolveIn } from './tree';

/** Owner that `--chown` gives to all that is copied. */
export type CopyOwner = Owner;

interface Copy {
  readonly step: CopyStep;
  readonly tree: FileTree;
  readonly source: Source;
  /** `file:line`, for messages. */
  readonly where: string;
  readonly owner: CopyOwner | undefined;
  readonly excludes: IgnorePatterns | undefined;
}

/**
 * Executes a COPY or ADD as BuildKit does: what a trailing slash says, directories give their content, links in the
 * destination are followed, missing parents are made.
 * @param where `file:line`, for messages
 * @throws COPY_FAILED, CONTEXT_INVALID, DOCKERFILE_NEEDS_ENGINE, DOCKERFILE_INVALID
 * https://docs.docker.com/reference/dockerfile/#copy
 */
export async function copyInto(tree: FileTree, step: CopyStep, source: Source, where: string): Promise<void> {
  const copy: Copy = {
    step,
    tree,
    source,
    where,
    owner: readOwner(tree, step, where),
    excludes: readExcludes(step, where),
  };
  if (step.link) refuseLinkThatDiffers(copy);
  for (const written of step.sources) {
    for (const path of findSources(copy, written)) await copyPath(copy, path, written);
  }
  for (const inline of step.inlineFiles) {
    const inlined: Copy = { ...copy, source: inlineSource(inline.name, inline.content), excludes: undefined };
    copyEntry(inlined, joinPath(inline.name), joinPath(inline.name));
  }
}

function readOwner(tree: FileTree, step: CopyStep, where: string): CopyOwner | undefined {
  if (step.owner === undefined) return undefined;
  const { owner, unknown } = findOwner(tree, step.owner);
  const [first] = unknown;
  if (first) {
    throw new SlimGoError(
      'COPY_FAILED',
      `${where}: --chown=${step.owner}: the image's ${first.file} does not know "${first.name}".`,
      { hint: 'Use numbers, for example --chown=65532:65532; an image from scratch has no names.' },
    );
  }
  return owner;
}

function readExcludes(step: CopyStep, where: string): IgnorePatterns | undefined {
  if (step.excludes.length === 0) return undefined;
  try {
    return new IgnorePatterns(step.excludes.map((text) => ({ text, line: 0 })));
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new SlimGoError('DOCKERFILE_INVALID', `${where}: --exclude: ${error.message}.`, { cause: error });
  }
}

/** `--link` puts its layer on top without looking at what is there; where that makes a difference we can't do it. */
function refuseLinkThatDiffers(copy: Copy): void {
  const names = joinPath(copy.step.destination).split('/');
  for (let length = 1; length <= names.length; length++) {
    const node = copy.tree.get(names.slice(0, length).join('/'));
    if (!node) return;
    if (node.type !== 'directory' || node.mode !== 0o755 || node.uid !== 0 || node.gid !== 0) {
      throw new SlimGoError(
        'DOCKERFILE_NEEDS_ENGINE',
        `${copy.where}: --link over /${names.slice(0, length).join('/')}, which exists already, needs a container engine.`,
        { hint: 'Leave --link out: the embedded engine is as fast without it.' },
      );
    }
  }
}

/** Paths that a source names, links in them not followed yet. A wildcard may match nothing, as in Docker. */
function findSources(copy: Copy, written: string): readonly string[] {
  const { source } = copy;
  if (source.context && joinsOutside(written)) {
    throw new SlimGoError('COPY_FAILED', `${copy.where}: "${written}" lies outside of the build context.`, {
      hint: `Only what is in ${source.context.root} can be copied. Set "context" to a folder above both.`,
    });
  }
  const path = joinPath(written);
  if (!hasWildcard(path)) return [path];
  const names = path.split('/');
  const first = names.findIndex(hasWildcard);
  const base = follow(copy, names.slice(0, first).join('/'), written);
  const pattern = compileWildcard(names.slice(first).join('/'));
  const folder = source.lstat(base);
  if (!folder) throw missing(copy, names.slice(0, first).join('/'), written);
  if (!pattern) {
    throw new SlimGoError('COPY_FAILED', `${copy.where}: "${written}" is no valid pattern.`, {
      hint: 'See https://pkg.go.dev/path/filepath#Match.',
    });
  }
  // Below a file there is nothing to match, which Docker does not mind.
  if (folder.type !== 'directory') return [];
  const depth = names.length - first;
  const found: string[] = [];
  const walk = (folder: string, level: number) => {
    for (const name of source.list(joinPath(base, folder))) {
      const inner = joinPath(folder, name);
      // A directory that matches is copied whole: nothing inside it counts as a match of its own.
      if (pattern.test(inner)) found.push(joinPath(base, inner));
      else if (level < depth && source.lstat(joinPath(base, inner))?.type === 'directory') walk(inner, level + 1);
    }
  };
  walk('', 1);
  return found;
}

function joinsOutside(written: string): boolean {
  return posix.normalize(`./${written.replace(/^\/+/, '')}`).startsWith('..');
}

/** Follows links in a source. In the build context none may lead out of it. */
function follow(copy: Copy, path: string, written: string): string {
  const { source } = copy;
  return resolveIn(
    (inner) => {
      const entry = source.lstat(inner);
      return entry?.type === 'symlink' ? entry : entry && { type: entry.type };
    },
    path,
    source.context &&
      ((link, target) => {
        throw new SlimGoError(
          'CONTEXT_INVALID',
          `${copy.where}: "${written}" leads out of the build context: ${link} is a link to ${target}.`,
          { hint: 'Copy the file into the context, or set "context" to a folder above both.' },
        );
      }),
  );
}

async function copyPath(copy: Copy, path: string, written: string): Promise<void> {
  const { step, source, tree, owner } = copy;
  const real = follow(copy, path, written);
  const entry = source.lstat(real);
  if (!entry) throw missing(copy, path, written);
  if (step.unpack && entry.type === 'file') {
    if (isArchive(entry.content, `${copy.where}: ADD ${written}`)) {
      if (owner) {
        throw new SlimGoError(
          'DOCKERFILE_NEEDS_ENGINE',
          `${copy.where}: ADD --chown of an archive means different things to different versions of Docker.`,
          { hint: 'Give the files their owner in the archive, or copy them from another stage with COPY --chown.' },
        );
      }
      const target = tree.resolve(step.destination);
      tree.makeDirectories(target, { mode: 0o755, ...root });
      await unpackArchive(tree, target, entry.content, `${copy.where}: ADD ${written}`);
      return;
    }
  }
  copyEntry(copy, path, real);
}

const root: Owner = { uid: 0, gid: 0 };

/**
 * @param path gives the name that the copy has in a directory
 * @param real the entry itself
 */
function copyEntry(copy: Copy, path: string, real: string): void {
  const { step, tree, owner, source } = copy;
  const entry = source.lstat(real)!;
  const made: Metadata = { mode: 0o755, ...(owner ?? root) };
  const { destination } = step;
  const isFolder = destination.endsWith('/') || destination.endsWith('/.');
  const parent = isFolder ? destination : destination.slice(0, destination.lastIndexOf('/') + 1);
  makeParents(copy, tree.resolve(parent), made);
  let target = tree.resolve(destination);
  // What stands at the target, links followed: the target itself is resolved already.
  const existing = tree.get(target);
  if (entry.type === 'directory') {
    if (existing && existing.type !== 'directory') {
      throw copyFailed(copy, `can't copy a directory to /${target}, which is no directory`);
    }
    if (!existing) makeParents(copy, target, made);
    copyChildren(copy, real, target, '', []);
    return;
  }
  if (existing?.type === 'directory') target = joinPath(target, posix.basename(path));
  const folder = target.slice(0, Math.max(0, target.lastIndexOf('/')));
  makeParents(copy, folder, made);
  putFile(copy, real, entry, target);
}

/**
 * Missing parents are made with 0755. Newer BuildKits give them the mode of --chmod, older ones do not, so a mode that
 * would differ is left to the engine at hand.
 */
function makeParents(copy: Copy, path: string, metadata: Metadata): void {
  const { tree, step, where } = copy;
  if (step.mode !== undefined && step.mode !== metadata.mode && !tree.get(path)) {
    const octal = step.mode.toString(8).padStart(4, '0');
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${where}: --chmod=${octal} together with the new folder /${path} means different things to different versions of Docker.`,
      { hint: `Make the folder first: WORKDIR /${path}, or copy to a folder that exists.` },
    );
  }
  tree.makeDirectories(path, metadata);
}

function copyChildren(copy: Copy, from: string, to: string, inner: string, parent: ParentMatches): void {
  const { source, tree } = copy;
  for (const name of source.list(from)) {
    const path = joinPath(from, name);
    const target = joinPath(to, name);
    const relativePath = joinPath(inner, name);
    const entry = source.lstat(path)!;
    const verdict = copy.excludes?.match(relativePath, parent);
    if (entry.type !== 'directory') {
      if (verdict?.ignored) continue;
      if (copy.excludes) makeExcludedParents(copy, from, to);
      putFile(copy, path, entry, target);
      continue;
    }
    if (!verdict?.ignored) {
      if (copy.excludes) makeExcludedParents(copy, from, to);
      const existing = tree.get(target);
      if (existing && existing.type !== 'directory') {
        throw copyFailed(copy, `can't copy the directory ${path} to /${target}, which is no directory`);
      }
      tree.set(target, { type: 'directory', children: new Map(), ...metadataOf(copy, path, entry) });
    }
    copyChildren(copy, path, target, relativePath, verdict?.matches ?? []);
  }
}

/** A directory that --exclude leaves out is made after all when something in it is kept. */
function makeExcludedParents(copy: Copy, from: string, to: string): void {
  if (copy.tree.get(to)) return;
  const up = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
  makeExcludedParents(copy, up(from), up(to));
  copy.tree.set(to, {
    type: 'directory',
    children: new Map(),
    ...metadataOf(copy, from, copy.source.lstat(from)!),
  });
}

function putFile(copy: Copy, path: string, entry: SourceEntry, target: string): void {
  const { tree, owner } = copy;
  if (tree.get(target)?.type === 'directory') {
    throw copyFailed(copy, `can't replace the directory /${target} with the file ${path}`);
  }
  if (entry.type === 'file')
    tree.set(target, { type: 'file', content: entry.content, ...metadataOf(copy, path, entry) });
  else if (entry.type === 'symlink') {
    tree.set(target, { type: 'symlink', target: entry.target, mode: 0o777, ...(owner ?? ownerOf(entry)) });
  } else if (entry.type === 'other') {
    throw copyFailed(copy, `${path} is a socket, pipe or device, which an image can't hold`);
  }
}

function metadataOf(copy: Copy, path: string, entry: SourceEntry): Metadata {
  const { step, owner, where } = copy;
  if (step.mode !== undefined && (entry.mode & 0o7000) !== 0) {
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${where}: --chmod of ${path}, which has a setuid, setgid or sticky bit, means different things to different versions of Docker.`,
      { hint: 'Take the bit away from the source, or leave --chmod out.' },
    );
  }
  if (entry.hasAttributes) {
    throw new SlimGoError(
      'DOCKERFILE_NEEDS_ENGINE',
      `${where}: ${path} has extended attributes (a capability, for example), and copying those needs a container engine.`,
    );
  }
  return { mode: step.mode ?? entry.mode, ...(owner ?? ownerOf(entry)) };
}

function ownerOf(entry: SourceEntry): Owner {
  return { uid: entry.uid, gid: entry.gid };
}

function copyFailed(copy: Copy, message: string): SlimGoError {
  return new SlimGoError('COPY_FAILED', `${copy.where}: ${message}.`);
}

/** Explains why a source is not there: hidden by .dockerignore, or mistyped. */
function missing(copy: Copy, path: string, written: string): SlimGoError {
  const { source, step, where } = copy;
  const place = source.context ? 'the build context' : 'that stage or image';
  const names = path.split('/');
  for (let length = 1; length <= names.length; length++) {
    const hidden = source.context?.ignoredBy(names.slice(0, length).join('/'));
    if (hidden) {
      return new SlimGoError(
        'COPY_FAILED',
        `${where}: ${step.instruction} ${written}: it exists, but ${hidden.file}:${hidden.line} hides it ("${hidden.pattern}").`,
        { hint: `Add "!${names.join('/')}" below that line.` },
      );
    }
  }
  const near = nearPath(source, names);
  return new SlimGoError(
    'COPY_FAILED',
    `${where}: ${step.instruction} ${written}: there is no "${path}" in ${place}.`,
    {
      hint:
        near.length > 0
          ? `Did you mean ${near.join(' or ')}?`
          : source.context
            ? `Paths are relative to ${source.context.root}; a binary must be built before the image.`
            : 'Paths are relative to the root of the stage or image.',
    },
  );
}

function nearPath(source: Source, names: readonly string[]): readonly string[] {
  let folder = '';
  for (const [index, name] of names.entries()) {
    const next = joinPath(folder, name);
    if (source.lstat(next)?.type === 'directory') {
      folder = next;
      continue;
    }
    if (source.lstat(folder)?.type !== 'directory') return [];
    return nearNames(name, source.list(folder)).map((near) => joinPath(folder, near, ...names.slice(index + 1)));
  }
  return [];
}
