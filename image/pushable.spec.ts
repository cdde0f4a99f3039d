import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { writeArchive } from './archive';
import { readContent } from './content';
import type { FileContent, Image } from './image';
import { describePushable, makePushable } from './pushable';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-pushable-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const { signal } = new AbortController();
const platform = { os: 'linux', architecture: 'amd64' };

async function archived(content: Buffer, platforms: readonly Image['platform'][] = [platform]) {
  const archive = join(folder, 'image.tar');
  const entry = {
    type: 'file' as const,
    path: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    content,
  };
  const images = platforms.map((platform) => ({
    platform,
    config: {},
    history: [{ created_by: 'COPY' }],
    layers: [{ entries: [entry] }],
  }));
  const options = {
    images,
    references: ['x'],
    file: archive,
    hostPlatform: platform,
    createdSeconds: 0,
  };
  return { record: await writeArchive(options), archive, compression: 'gzip' as const };
}

it('compresses layers to what gzip unpacks to the layer again, the same on every machine', async () => {
  // Compressible and not, over several pieces.
  const content = Buffer.alloc(3_500_000);
  for (let index = 0; index < content.length; index++) content[index] = (index * index) >> (index % 13);
  const made = await archived(content);
  const { image, layers } = await makePushable(made, folder, signal);
  const { diffId } = made.record.platforms[0]!.layers[0]!;
  const layer = image.blobs.find(({ descriptor }) => descriptor.digest === layers[diffId]!.digest)!;
  const { path } = layer.content as Exclude<FileContent, Uint8Array>;
  const plain = execFileSync('sh', ['-c', 'gzip -dc "$0" | sha256sum', path], {
    encoding: 'utf8',
  });
  expect(`sha256:${plain.split(' ')[0]}`).toBe(diffId);
  expect(execFileSync('sha256sum', [path], { encoding: 'utf8' })).toContain(layer.descriptor.digest.slice(7));
  // Golden: another compressor, or another Node, must not give other bytes.
  expect(layer.descriptor.digest).toMatchInlineSnapshot(
    `"sha256:ed7f86c28a7a1bae000ea5cd5de3bc5a3bd017ba32366d8da76beaa385c1bb1c"`,
  );
});

it('compresses with zstd where Node has it, and says so where it has not', async () => {
  const made = { ...(await archived(Buffer.alloc(3_500_000, 'zstd '))), compression: 'zstd' as const };
  const pushable = makePushable(made, folder, signal);
  const { zstdDecompressSync } = zlib as unknown as { zstdDecompressSync?: (bytes: Uint8Array) => Buffer };
  if (!zstdDecompressSync) {
    await expect(pushable).rejects.toMatchObject({ code: 'OPTION_INVALID', hint: expect.stringContaining('22.15') });
    return;
  }
  const { image, layers } = await pushable;
  const { diffId } = made.record.platforms[0]!.layers[0]!;
  const layer = image.blobs.find(({ descriptor }) => descriptor.digest === layers[diffId]!.digest)!;
  expect(layer.descriptor.mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd');
  const plain = zstdDecompressSync(readContent(layer.content));
  expect(`sha256:${createHash('sha256').update(plain).digest('hex')}`).toBe(diffId);
  expect(describePushable({ ...made, known: layers })?.root).toEqual(image.root);
});

it('tells the digests without compressing where the layers are known', async () => {
  const made = await archived(Buffer.from('hello'), [platform, { os: 'linux', architecture: 'arm64' }]);
  expect(describePushable({ ...made, known: {} })).toBeUndefined();
  const { image, layers } = await makePushable(made, folder, signal);
  expect(Object.keys(layers)).toHaveLength(1);
  const { blobs, ...documents } = image;
  expect(describePushable({ ...made, known: layers })).toEqual(documents);
  // Two configs, and the layer that both share.
  expect(blobs).toHaveLength(3);
  const index = JSON.parse(Buffer.from(readContent(image.root.content)).toString());
  expect(index.manifests.map(({ digest }: { digest: string }) => digest)).toEqual(
    image.manifests.map(({ descriptor }) => descriptor.digest),
  );
});

it('refuses a layer that is not what the record says', async () => {
  const made = await archived(Buffer.from('hello, this is the content'));
  const bytes = readFileSync(made.archive);
  bytes[bytes.indexOf('hello, this')] = 0x4a;
  writeFileSync(made.archive, bytes);
  await expect(makePushable(made, folder, signal)).rejects.toMatchObject({
    code: 'ARCHIVE_INVALID',
  });
  truncateSync(made.archive, 1024);
  await expect(makePushable(made, folder, signal)).rejects.toMatchObject({
    code: 'ARCHIVE_INVALID',
  });
});
