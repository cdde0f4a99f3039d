import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';

/** Who may import whom (ARCHITECTURE.md). A room may always import itself and the leaves. */
const mayImport: Record<string, readonly string[]> = {
  plugin: ['go', 'image'],
  generators: ['plugin', 'go', 'image', 'docker'],
  executors: ['go', 'image', 'docker', 'registry', 'attest'],
  attest: ['go', 'image'],
  go: [],
  image: [],
  docker: ['image'],
  registry: ['image'],
};
const leaves = ['errors.ts', 'parallel.ts', 'platform.ts'];
/** Packages that belong to certain rooms alone. */
const packageRooms: Record<string, readonly string[]> = {
  dockerode: ['docker'],
  nx: ['plugin', 'generators', 'executors'],
  '@nx/devkit': ['plugin', 'generators', 'executors'],
};

interface Import {
  readonly from: string;
  readonly to: string;
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'files' ? [] : sources(path);
    return /(?<!\.(?:spec|testdata|d))\.ts$/.test(path) ? [path] : [];
  });
}

function importsOf(file: string): Import[] {
  const from = relative(__dirname, file).split(sep).join('/');
  const found = readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport|\brequire\(|\bimport\()\s*'([^']+)'/g);
  return [...found].map(([, specifier = '']) => ({
    from,
    to: specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier,
  }));
}

const room = (path: string) => path.split('/')[0] ?? '';
const imports = [
  ...Object.keys(mayImport).map((name) => join(__dirname, name)),
  ...leaves.map((leaf) => join(__dirname, leaf)),
]
  .flatMap((path) => (path.endsWith('.ts') ? [path] : sources(path)))
  .flatMap(importsOf);

const arrows = (list: readonly Import[]) => list.map(({ from, to }) => `${from} -> ${to}`);
const isLeaf = (path: string) => leaves.includes(`${path}.ts`);
const isOurs = ({ to }: Import) => isLeaf(to) || room(to) in mayImport;

describe('the rooms of the house', () => {
  it('finds imports to judge', () => {
    expect(imports.length).toBeGreaterThan(50);
  });

  it('keeps every room to the rooms it may import', () => {
    const offending = imports
      .filter(isOurs)
      .filter(({ from, to }) => !isLeaf(to) && room(from) !== room(to))
      .filter(({ from, to }) => !mayImport[room(from)]?.includes(room(to)));
    expect(arrows(offending)).toEqual([]);
  });

  it('lets docker use the types of image only', () => {
    const values = imports
      .filter(({ from, to }) => room(from) === 'docker' && room(to) === 'image')
      .filter(({ from, to }) => {
        const name = posix.relative(dirname(from), to);
        const text = readFileSync(join(__dirname, from), 'utf8');
        return !new RegExp(`import type [^;]*'${name.replaceAll('.', '\\.')}'`).test(text);
      });
    expect(arrows(values)).toEqual([]);
  });

  it('keeps the leaves free of imports of ours', () => {
    const offending = imports.filter(
      ({ from, to }) => leaves.includes(from) && to !== 'errors' && isOurs({ from, to }),
    );
    expect(arrows(offending)).toEqual([]);
  });

  it('keeps Nx and dockerode in their rooms', () => {
    const offending = imports.filter(({ from, to }) => {
      const rooms = packageRooms[to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : room(to)];
      return rooms !== undefined && !rooms.includes(room(from));
    });
    expect(arrows(offending)).toEqual([]);
  });

  it('uses the public door of the devkit, but where the graph lists files', () => {
    const deep = imports.filter(({ to }) => /^(nx|@nx\/devkit)\/./.test(to));
    // What the devkit passes on, for the graph: the devkit itself costs every command 0.1 s, and stands in where Nx closes this door.
    expect(arrows(deep)).toEqual(['plugin/index.ts -> nx/package.json', 'plugin/index.ts -> nx/src/devkit-exports']);
  });
});
