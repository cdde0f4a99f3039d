import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type BuildContext, openContext, packContext } from './context';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'slim-go-context-spec-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function write(path: string, content = path): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), content);
}

function all(context: BuildContext, folder = ''): string[] {
  return context.list(folder).flatMap((name) => {
    const path = folder === '' ? name : `${folder}/${name}`;
    return context.lstat(path)!.type === 'directory' ? [path, ...all(context, path)] : [path];
  });
}

/** Packs, and lets the system's tar read it. */
async function packed(dockerfile: string): Promise<{ name: string; list: string[]; read: (path: string) => string }> {
  const { dockerfile: name, stream } = packContext(openContext(root, dockerfile), dockerfile);
  const archive = join(root, '..', `${root.split(/[\\/]/).at(-1)}.tar`);
  try {
    await pipeline(stream(), createWriteStream(archive));
    const list = execFileSync('tar', ['-tvf', archive, '--numeric-owner'], { encoding: 'utf8' }).trimEnd().split('\n');
    const contents = new Map<string, string>();
    for (const line of list) {
      const path = line.replace(/^.{10} \S+ +\d+ \S+ \S+ /, '');
      if (line.startsWith('-')) contents.set(path, execFileSync('tar', ['-xOf', archive, path], { encoding: 'utf8' }));
    }
    return { name, list, read: (path) => contents.get(path)! };
  } finally {
    if (existsSync(archive)) rmSync(archive);
  }
}

describe('openContext', () => {
  it('prefers the ignore file of the Dockerfile to that of the root', () => {
    for (const path of ['a', 'b', 'c']) write(path);
    write('.dockerignore', 'a\n');
    write('Dockerfile.dockerignore', 'b\n');
    expect(openContext(root, join(root, 'Dockerfile')).lstat('b')).toBeUndefined();
    expect(openContext(root, join(root, 'Dockerfile')).lstat('a')).toBeDefined();
    expect(openContext(root, join(root, 'Other')).lstat('a')).toBeUndefined();
  });

  it('names file and line of a malformed pattern', () => {
    write('.dockerignore', 'ok\n[a\n');
    expect(() => openContext(root, join(root, 'Dockerfile'))).toThrow(/\.dockerignore:2: "\[a" is no valid pattern/);
  });

  it('refuses a root that is missing or no folder', () => {
    write('file');
    expect(() => openContext(join(root, 'none'), 'Dockerfile')).toThrow('is missing');
    expect(() => openContext(join(root, 'file'), 'Dockerfile')).toThrow(/is (no folder|missing)/);
  });

  it('never walks an ignored folder that no exception reaches into', () => {
    write('node_modules/x/y');
    write('dist/app');
    write('.dockerignore', '*\n!dist\n');
    // Root could read it all the same, so what is looked at is asked of the context itself.
    const context = openContext(root, join(root, 'Dockerfile'));
    expect(all(context)).toEqual(['dist', 'dist/app']);
    const looked = [...(context as unknown as { known: Map<string, unknown> }).known.keys()];
    expect(looked.filter((path) => path.startsWith('node_modules/'))).toEqual([]);
  });

  it('keeps an ignored folder for the sake of an exception inside', () => {
    write('a/b/keep');
    write('a/b/drop');
    write('a/other');
    write('.dockerignore', 'a\n!a/b/keep\n');
    expect(all(openContext(root, join(root, 'Dockerfile')))).toEqual(['.dockerignore', 'a', 'a/b', 'a/b/keep']);
  });
});

describe('packContext', () => {
  it('packs files, links and folders for the engine, owned by root, with the Dockerfile and .dockerignore in any case', async () => {
    write('Dockerfile', 'FROM scratch\n');
    write('.dockerignore', '*\n!dir\n!empty\n!big\n');
    write('dir/file', 'content');
    write('empty', '');
    write('big', 'x'.repeat(300_000));
    chmodSync(join(root, 'dir/file'), 0o751);
    symlinkSync('/outside', join(root, 'dir/link'));
    write('ignored');
    const { name, list, read } = await packed(join(root, 'Dockerfile'));
    expect(name).toBe('Dockerfile');
    expect(list.map((line) => line.replace(/^.{10} \S+ +\d+ \S+ \S+ /, ''))).toEqual([
      'Dockerfile',
      '.dockerignore',
      'big',
      expect.stringMatching(/^dir\/?$/),
      'dir/file',
      'dir/link -> /outside',
      'empty',
    ]);
    expect(list.every((line) => line.split(/\s+/)[1] === '0/0')).toBe(true);
    expect(list.find((line) => line.endsWith('dir/file'))).toMatch(/^-rwxr-x--x /);
    expect(read('dir/file')).toBe('content');
    expect(read('big')).toHaveLength(300_000);
  });

  it('puts a Dockerfile from outside of the context in under a name of its own', async () => {
    write('app/a', 'a');
    write('docker/Dockerfile', 'FROM scratch\n');
    const dockerfile = join(root, 'docker', 'Dockerfile');
    const outer = root;
    root = join(root, 'app');
    try {
      const { name, read } = await packed(dockerfile);
      expect(name).toMatch(/^\.dockerfile\.[0-9a-f]{16}$/);
      expect(read(name)).toBe('FROM scratch\n');
      expect(read('a')).toBe('a');
    } finally {
      root = outer;
    }
  });

  it('fails when a file disappears while it is packed', async () => {
    write('Dockerfile', 'FROM scratch\n');
    write('a', 'a');
    const context = openContext(root, join(root, 'Dockerfile'));
    context.list('');
    rmSync(join(root, 'Dockerfile'));
    const { stream } = packContext(context, join(root, 'Dockerfile'));
    await expect(pipeline(stream(), createWriteStream(join(root, 'out')))).rejects.toMatchObject({
      code: 'CONTEXT_INVALID',
    });
  });
});
