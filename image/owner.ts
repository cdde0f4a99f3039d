import { readContent } from './content';
import type { FileTree } from './tree';

/** Numeric owner of a file. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Reads `user[:group]` as `--chown` and USER have it: numbers as they are (a user alone is its own group), names from the
 * image's /etc/passwd and /etc/group.
 * @returns the owner as Docker takes it (an unknown name counts as root), and the names that are unknown
 * https://docs.docker.com/reference/dockerfile/#copy---chown---chmod
 */
export function findOwner(
  tree: FileTree,
  text: string,
): { readonly owner: Owner; readonly unknown: readonly { readonly name: string; readonly file: string }[] } {
  const colon = text.indexOf(':');
  const user = colon < 0 ? text : text.slice(0, colon);
  const group = colon < 0 ? '' : text.slice(colon + 1);
  const unknown: { name: string; file: string }[] = [];
  let uid = 0;
  let gid = 0;
  if (isNumber(user)) uid = gid = Number(user);
  else if (user !== '') {
    const fields = findLine(tree, 'etc/passwd', user);
    if (fields) [uid, gid] = [toNumber(fields[2]), toNumber(fields[3])];
    else unknown.push({ name: user, file: '/etc/passwd' });
  }
  if (isNumber(group)) gid = Number(group);
  else if (group !== '') {
    const fields = findLine(tree, 'etc/group', group);
    if (fields) gid = toNumber(fields[2]);
    else unknown.push({ name: group, file: '/etc/group' });
  }
  return { owner: { uid, gid }, unknown };
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text) && Number(text) <= 0xffffffff;
}

function toNumber(text: string | undefined): number {
  return text !== undefined && isNumber(text) ? Number(text) : 0;
}

function findLine(tree: FileTree, path: string, name: string): readonly string[] | undefined {
  const node = tree.get(tree.resolve(path));
  if (node?.type !== 'file') return undefined;
  const lines = new TextDecoder().decode(readContent(node.content)).split('\n');
  return lines.map((line) => line.trim().split(':')).find((fields) => fields[0] === name);
}
