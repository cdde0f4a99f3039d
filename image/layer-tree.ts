import type { Layer } from './image';
import { layerMembers } from './layer';
import type { TarMember } from './tar';
import { emptyDirectory, FileTree, joinPath, type Metadata, type Node } from './tree';

/**
 * The files that the layers of a base image make, one layer over the other; their contents stay in the layers.
 * Two names of one file are two files.
 * @throws ARCHIVE_INVALID, COPY_FAILED for a damaged or unreadable layer
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#applying-changesets
 */
export function treeOfLayers(layers: readonly Layer[]): FileTree {
  const tree = new FileTree();
  for (const layer of layers) {
    if (!('tar' in layer)) throw new Error('A base image has layers of tar.');
    const members = layerMembers(layer.tar);
    // A whiteout speaks of earlier layers only, wherever it stands in its own.
    for (const member of members) whiteOut(tree, pathOf(tree, member));
    for (const member of members) putMember(tree, member);
  }
  // What is there is no change.
  tree.takeLayer();
  return tree;
}

/** Links above the last name are followed, as where a layer is unpacked onto the ones below. '' is the root. */
function pathOf(tree: FileTree, member: TarMember): string {
  const path = joinPath(member.name.toString());
  const slash = path.lastIndexOf('/');
  return slash < 0 ? path : joinPath(tree.resolve(path.slice(0, slash)), path.slice(slash + 1));
}

function whiteOut(tree: FileTree, path: string): void {
  const slash = path.lastIndexOf('/');
  const [folder, name] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
  if (!name.startsWith('.wh.')) return;
  if (name !== '.wh..wh..opq') {
    tree.remove(joinPath(folder, name.slice('.wh.'.length)));
    return;
  }
  const node = tree.get(folder);
  if (node?.type === 'directory') node.children.clear();
}

function putMember(tree: FileTree, member: TarMember): void {
  const path = pathOf(tree, member);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (path === '' || name.startsWith('.wh.')) return;
  const { mode, uid, gid } = member;
  const hasAttributes = [...(member.records?.keys() ?? [])].some((key) => key.startsWith('SCHILY.xattr.'));
  const metadata: Metadata = { mode, uid, gid, ...(hasAttributes ? { hasAttributes } : {}) };
  const parent = path.slice(0, Math.max(0, path.length - name.length - 1));
  if (tree.get(parent)?.type !== 'directory') {
    tree.remove(parent);
    tree.makeDirectories(parent, { mode: 0o755, uid: 0, gid: 0 });
  }
  tree.set(path, nodeOf(tree, member, metadata));
}

function nodeOf(tree: FileTree, member: TarMember, metadata: Metadata): Node {
  switch (member.type) {
    case 'directory':
      return emptyDirectory(metadata);
    case 'file':
      return { ...metadata, type: 'file', content: member.content ?? new Uint8Array() };
    case 'symlink':
      return { ...metadata, type: 'symlink', target: member.linkName!.toString() };
    case 'hardlink': {
      const linked = tree.get(tree.resolve(member.linkName!.toString()));
      return linked?.type === 'file' ? linked : { ...metadata, type: 'other' };
    }
    default:
      return { ...metadata, type: 'other' };
  }
}
