import { createHash } from 'node:crypto';
import { readContent } from '../../image/content';
import { treeOfLayers } from '../../image/layer-tree';
import { layersOf } from '../../image/pushable';
import type { ImageRecord, PlatformRecord } from '../../image/record';
import type { Node } from '../../image/tree';

/** An image on disk. */
export interface BuiltImage {
  readonly record: ImageRecord;
  /** image.tar */
  readonly archive: string;
}

/** What differs between two builds of one image; nothing where every digest is the same. */
export function differences(first: BuiltImage, second: BuiltImage): readonly string[] {
  const found: string[] = [];
  const platforms = (image: BuiltImage) => image.record.platforms.map(({ platform }) => platform).join(', ');
  if (platforms(first) !== platforms(second)) return [`platforms: ${platforms(first)}, then ${platforms(second)}`];
  if (first.record.indexDigest !== second.record.indexDigest) {
    found.push(`index: ${first.record.indexDigest}, then ${second.record.indexDigest}`);
  }
  for (const [index, one] of first.record.platforms.entries()) {
    const other = second.record.platforms[index]!;
    if (one.manifestDigest === other.manifestDigest) continue;
    found.push(`${one.platform}: ${one.manifestDigest}, then ${other.manifestDigest}`);
    const files = fileDifferences(filesOf(one, first.archive), filesOf(other, second.archive));
    found.push(...files.map((line) => `  ${line}`));
    if (files.length === 0)
      found.push('  the files are the same: the configuration or the order of the layers differs');
  }
  return found;
}

const shownFiles = 10;

function fileDifferences(first: ReadonlyMap<string, string>, second: ReadonlyMap<string, string>): readonly string[] {
  const paths = [...new Set([...first.keys(), ...second.keys()])].sort();
  const lines = paths
    .filter((path) => first.get(path) !== second.get(path))
    .map((path) => `/${path}: ${first.get(path) ?? 'missing'}, then ${second.get(path) ?? 'missing'}`);
  const more = lines.length - shownFiles;
  return more > 0 ? [...lines.slice(0, shownFiles), `and ${more} more files`] : lines;
}

function filesOf(platform: PlatformRecord, archive: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const { path, node } of treeOfLayers(layersOf(platform, archive)).files()) files.set(path, describe(node));
  return files;
}

function describe(node: Node & { type: 'file' }): string {
  const bytes = readContent(node.content);
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  return `${bytes.byteLength} bytes ${digest} ${node.mode.toString(8)} ${node.uid}:${node.gid}`;
}
