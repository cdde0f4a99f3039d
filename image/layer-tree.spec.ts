import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Layer } from './image';
import { treeOfLayers } from './layer-tree';

const folder = mkdtempSync(join(tmpdir(), 'slim-go-layers-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

/** A layer that a shell script fills and tar packs. */
function layer(script: string): Layer {
  const root = join(folder, `${count++}`);
  mkdirSync(root);
  execFileSync('sh', ['-ec', script], { cwd: root });
  execFileSync('tar', ['--format=pax', '--xattrs', '-cf', `${root}.tar`, '-C', root, '.']);
  return { tar: { path: `${root}.tar`, offsetBytes: 0, sizeBytes: statSync(`${root}.tar`).size } };
}

const names = (layers: readonly Layer[], path: string) => {
  const node = treeOfLayers(layers).get(path);
  return node?.type === 'directory' ? [...node.children.keys()].sort() : node?.type;
};

describe('treeOfLayers', () => {
  const below = () =>
    layer('mkdir -p a/b usr/lib && touch a/one a/b/two usr/lib/x && ln -s usr/lib lib && ln -s gone dangling');

  it('puts layer over layer', () => {
    const layers = [below(), layer('mkdir a && touch a/three && mkdir -p new/deep')];
    expect(names(layers, 'a')).toEqual(['b', 'one', 'three']);
    expect(names(layers, 'new')).toEqual(['deep']);
    expect(treeOfLayers(layers).takeLayer()).toEqual([]);
  });

  it('takes away what a whiteout names, and all of an opaque folder but its own', () => {
    expect(names([below(), layer('mkdir a && touch a/.wh.one a/.wh.b')], 'a')).toEqual([]);
    expect(names([below(), layer('mkdir a && touch a/.wh..wh..opq a/own')], 'a')).toEqual(['own']);
    expect(names([below(), layer('mkdir -p a/b && touch a/.wh.b a/b/own')], 'a/b')).toEqual(['own']);
    expect(names([below(), layer('touch .wh.nothing')], '')).toEqual(['a', 'dangling', 'lib', 'usr']);
  });

  it('follows links above a name, and replaces those at it', () => {
    expect(names([below(), layer('mkdir lib')], 'lib')).toEqual([]);
    expect(names([below(), layer('mkdir usr && touch usr/lib')], 'usr/lib')).toBe('file');
    expect(names([below(), layer('touch a')], 'a')).toBe('file');
  });

  it('knows two names of one file, and what it can only name', () => {
    const tree = treeOfLayers([layer('printf text > one && ln one two && mkfifo pipe')]);
    expect(tree.get('two')).toEqual(tree.get('one'));
    expect(tree.get('pipe')).toMatchObject({ type: 'other' });
  });
});
