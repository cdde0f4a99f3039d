import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import sync from './generator';

async function synced(files: Readonly<Record<string, string>>) {
  const tree = createTreeWithEmptyWorkspace();
  for (const [file, text] of Object.entries(files)) tree.write(file, text);
  const result = await sync(tree);
  // What was written has settled: a second run has nothing to do.
  expect(await sync(tree)).toEqual({});
  return { ...result, read: (file: string) => tree.read(file, 'utf8') };
}

const moduleText = (name: string) => `module example.com/${name}\n\ngo 1.24\n`;

it('adds and removes uses as the go command would, and keeps every other byte', async () => {
  const before =
    '// For all.\ngo 1.24 // not lower\n\nuse (\n\t./apps/a // the app\n\t./gone // long ago\n\t../outside\n)\n\nuse ./single\n\nreplace example.com/x => ../x\n';
  const files = {
    'go.work': before,
    'apps/a/go.mod': moduleText('a'),
    'libs/new/go.mod': moduleText('new'),
    'libs/testdata/x/go.mod': moduleText('x'),
    'vendor/y/go.mod': moduleText('y'),
  };
  const { read, outOfSyncMessage, outOfSyncDetails } = await synced(files);
  expect(read('go.work')).toBe(
    before
      .replace('\t./gone // long ago\n', '')
      .replace('use ./single\n', '')
      .replace('\t../outside\n', '\t../outside\n\t./libs/new\n'),
  );
  expect(outOfSyncMessage).toContain('go.work');
  expect(outOfSyncDetails).toEqual([
    'go.work: ./gone is no module any more',
    'go.work: ./single is no module any more',
    'go.work: ./libs/new is a module and not used',
  ]);
});

it('leaves a list that the go command takes, with the same modules as `go work use -r .`', async () => {
  const files: Record<string, string> = {
    'go.work': 'go 1.24\n\nuse ./gone\n',
    'go.mod': moduleText('root'),
    'apps/a/go.mod': moduleText('a'),
    'with space/go.mod': moduleText('space'),
  };
  const root = mkdtempSync(join(tmpdir(), 'slim-go-sync-'));
  const go = (...args: string[]) =>
    execFileSync('go', args, { cwd: root, env: { ...process.env, GOWORK: '' } }).toString();
  const uses = () =>
    JSON.parse(go('work', 'edit', '-json'))
      .Use.map(({ DiskPath }: { DiskPath: string }) => DiskPath)
      .sort();
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), text);
    }
    go('work', 'use', '-r', '.');
    const theirs = uses();
    writeFileSync(join(root, 'go.work'), (await synced(files)).read('go.work')!);
    expect(uses()).toEqual(theirs);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

it('has nothing to do without go.work, or where it is true', async () => {
  expect((await synced({ 'go.mod': moduleText('a') })).outOfSyncMessage).toBeUndefined();
  const text = 'go 1.24\nuse ./a/ \n';
  const { read, outOfSyncMessage } = await synced({ 'go.work': text, 'a/go.mod': moduleText('a') });
  expect([read('go.work'), outOfSyncMessage]).toEqual([text, undefined]);
});

it('gives each module to the nearest go.work', async () => {
  const { read } = await synced({
    'go.work': 'go 1.24\n',
    'a/go.mod': moduleText('a'),
    'nested/go.work': 'go 1.24\n',
    'nested/go.mod': moduleText('nested'),
    'nested/b/go.mod': moduleText('b'),
  });
  expect(read('go.work')).toBe('go 1.24\n\nuse ./a\n');
  expect(read('nested/go.work')).toBe('go 1.24\n\nuse .\n\nuse ./b\n');
});

it('names the file that can not be read', async () => {
  await expect(synced({ 'go.work': 'go 1.24\nuse (\n', 'a/go.mod': moduleText('a') })).rejects.toThrow(
    /^go\.work:\d+:/,
  );
});
