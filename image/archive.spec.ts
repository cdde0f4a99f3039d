import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { describeWithEngine, engineHost } from '../e2e/support/engine';
import type { Platform } from '../platform';
import { writeArchive } from './archive';
import type { Image, Layer, LayerEntry } from './image';
import { mergeArchives } from './merged-archive';

const amd64: Platform = { os: 'linux', architecture: 'amd64' };
const arm64: Platform = { os: 'linux', architecture: 'arm64' };
const host: Platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
const foreign = host.architecture === 'amd64' ? arm64 : amd64;

let folder: string;
let binary: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-archive-'));
  writeFileSync(join(folder, 'main.go'), 'package main\n\nfunc main() { print("Hello from the archive\\n") }\n');
  binary = join(folder, 'hello');
  execFileSync('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', binary, 'main.go'], {
    cwd: folder,
    env: { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOFLAGS: '' },
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

function text(path: string, content: string, rest: Partial<LayerEntry> = {}): LayerEntry {
  return { type: 'file', path, mode: 0o644, uid: 0, gid: 0, content: Buffer.from(content), ...rest } as LayerEntry;
}

function fromDisk(path: string, file: string): LayerEntry {
  const content = { path: file, offsetBytes: 0, sizeBytes: statSync(file).size };
  return { type: 'file', path, mode: 0o755, uid: 0, gid: 0, content };
}

function image(platform: Platform, layers: readonly Layer[], config: Image['config'] = {}): Image {
  return { platform, config, layers, history: layers.map((_, index) => ({ created_by: `COPY ${index}` })) };
}

const small = image(
  amd64,
  [{ entries: [text('etc/motd', 'hi\n')] }, { entries: [text('etc/motd', 'hi again\n', { uid: 65532 })] }],
  {
    Env: ['PATH=/bin'],
    Entrypoint: ['/hello'],
    Cmd: [],
    Labels: { b: '2', a: '1' },
    ExposedPorts: { '8080/tcp': {} },
    Healthcheck: { Test: ['CMD', '/hello', '-healthcheck'], Interval: 5_000_000_000 },
  },
);

function write(images: readonly Image[], name: string, rest: Partial<Parameters<typeof writeArchive>[0]> = {}) {
  const file = join(folder, name, 'image.tar');
  const options = { images, references: ['hello'], file, hostPlatform: host, createdSeconds: 0, ...rest };
  return writeArchive(options).then((record) => ({ file, record }));
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

function extract(file: string): string {
  const target = `${file}.d`;
  mkdirSync(target, { recursive: true });
  run('tar', '-xf', file, '-C', target);
  return target;
}

describe('writeArchive', () => {
  it('writes the bytes that it has always written', async () => {
    const { file, record } = await write([small], 'golden', { references: ['hello', 'ghcr.io/acme/hello:1.2'] });
    expect({ ...record, archive: sha256(file) }).toEqual({
      archive: '16f825b42ac9cf6d5af4705aed3949a50d725d2e3ea727363199ac9721c52a28',
      references: ['hello:latest', 'ghcr.io/acme/hello:1.2'],
      platforms: [
        {
          platform: 'linux/amd64',
          imageId: 'sha256:c43980708655671080ddd210fa211232abeec24947ead2fabd05e51a44d87d5e',
          manifestDigest: 'sha256:ad7bbb754e5ae4f7cb641a63cb7d78eacfb6c1fb91847efb3ccb10ce4bbfe092',
          sizeBytes: 5738,
          layers: [
            'sha256:ddc9d329ca804460c62dfaf5c6edec33030710b8524b80a1ca387887a7a4e24a',
            'sha256:dfc029a886ce39ad569c824161113778700462eb251febc7d6891715941dd23e',
          ].map((digest, index) => ({ diffId: digest, digest, sizeBytes: [2560, 2048][index] })),
        },
      ],
    });
  });

  it('writes a layer to the byte as GNU tar does when it is told to leave out what varies', async () => {
    const source = join(folder, 'gnu');
    mkdirSync(join(source, 'bin'), { recursive: true });
    run('cp', binary, join(source, 'bin/hello'));
    run('ln', '-s', 'hello', join(source, 'bin/alias'));
    run('chmod', '-R', 'u=rwx,go=rx', source);
    const options =
      '--format=ustar --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1700000000 --blocking-factor=1';
    run('tar', '-C', source, ...options.split(' '), '-cf', join(folder, 'gnu.tar'), 'bin');
    const entries: LayerEntry[] = [
      fromDisk('bin/hello', binary),
      { type: 'symlink', path: 'bin/alias', mode: 0o777, uid: 0, gid: 0, target: 'hello' },
    ];
    const { record } = await write([image(host, [{ entries }])], 'gnu-written', { createdSeconds: 1_700_000_000 });
    expect(record.platforms[0]!.layers[0]!.diffId).toBe(`sha256:${sha256(join(folder, 'gnu.tar'))}`);
  });

  it('gives the same bytes twice, and SOURCE_DATE_EPOCH changes them', async () => {
    const one = await write([small, { ...small, platform: arm64 }], 'same-1');
    const two = await write([small, { ...small, platform: arm64 }], 'same-2');
    const later = await write([small, { ...small, platform: arm64 }], 'later', { createdSeconds: 1_700_000_000 });
    expect(sha256(two.file)).toBe(sha256(one.file));
    expect(sha256(later.file)).not.toBe(sha256(one.file));
    const { Created } = JSON.parse(run('skopeo', 'inspect', `docker-archive:${later.file}`));
    expect(Created).toBe('2023-11-14T22:13:20Z');
  });

  it('stores every blob under its own digest, a layer of several images once', async () => {
    const layer = { entries: [text('same', 'x'.repeat(70_000))] };
    const other = { entries: [text('other', 'y')] };
    const { file, record } = await write([image(amd64, [layer, other]), image(arm64, [layer, layer])], 'shared');
    const blobs = join(extract(file), 'blobs', 'sha256');
    const names = readdirSync(blobs);
    for (const name of names) expect(sha256(join(blobs, name))).toBe(name);
    // Index, two manifests, two configurations, two layers.
    expect(names).toHaveLength(7);
    const sizes = record.platforms.map(({ sizeBytes, imageId, manifestDigest, layers }) => [
      sizeBytes,
      [imageId, manifestDigest, ...layers.map(({ digest }) => digest)]
        .map((digest) => statSync(join(blobs, digest.slice('sha256:'.length))).size)
        .reduce((sum, size) => sum + size, 0),
    ]);
    for (const [size, sum] of sizes) expect(size).toBe(sum);
    // The last layer was a repetition: nothing of it is left behind the end.
    expect(run('tar', '-tf', file).trimEnd().split('\n')).toHaveLength(3 + 2 + 7);
    const bytes = readFileSync(file);
    expect(bytes.subarray(-1024).equals(Buffer.alloc(1024))).toBe(true);
    // The layer's own end, then the last block that holds something.
    expect(bytes.subarray(-2048, -1024).equals(Buffer.alloc(1024))).toBe(true);
    expect(bytes.subarray(-2560, -2048).equals(Buffer.alloc(512))).toBe(false);
  });

  it('adds at most 4 KB to a one-file image, counted as Docker and registries count: all blobs', async () => {
    const { record, file } = await write([image(host, [{ entries: [fromDisk('hello', binary)] }])], 'size');
    const sizeBytes = statSync(binary).size;
    expect(record.platforms[0]!.sizeBytes - sizeBytes).toBeLessThanOrEqual(4096);
    // The archive's own framing: eight headers, the documents in whole blocks, and the end.
    expect(statSync(file).size - sizeBytes).toBeLessThanOrEqual(12 * 1024);
  });

  it('declares missing parents once, and never a folder that an earlier layer has', async () => {
    const { file, record } = await write(
      [
        image(amd64, [
          { entries: [{ type: 'directory', path: 'srv', mode: 0o700, uid: 7, gid: 7 }, text('opt/app/a', '')] },
          { entries: [text('srv/x/y', ''), text('opt/app/b', '')] },
        ]),
      ],
      'parents',
    );
    const blobs = join(extract(file), 'blobs', 'sha256');
    const listed = record.platforms[0]!.layers.map(({ digest }) =>
      run('tar', '--numeric-owner', '-tvf', join(blobs, digest.slice(7)))
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ +/g, ' ').replace(' 0 1970-01-01 00:00', '')),
    );
    expect(listed).toEqual([
      ['drwxr-xr-x 0/0 opt/', 'drwxr-xr-x 0/0 opt/app/', '-rw-r--r-- 0/0 opt/app/a', 'drwx------ 7/7 srv/'],
      ['-rw-r--r-- 0/0 opt/app/b', 'drwxr-xr-x 0/0 srv/x/', '-rw-r--r-- 0/0 srv/x/y'],
    ]);
  });

  it('declares a folder anew above a base layer that removed it, and not above one that has it', async () => {
    const base = join(folder, 'base');
    mkdirSync(join(base, 'kept'), { recursive: true });
    mkdirSync(join(base, 'gone/inner'), { recursive: true });
    run('tar', '-C', base, '-cf', join(folder, 'base.tar'), 'kept', 'gone');
    writeFileSync(join(base, '.wh.gone'), '');
    run('tar', '-C', base, '-cf', join(folder, 'whiteout.tar'), '.wh.gone');
    const tar = (name: string): Layer => {
      const path = join(folder, name);
      return { tar: { path, offsetBytes: 0, sizeBytes: statSync(path).size } };
    };
    const top = { entries: [text('kept/a', ''), text('gone/inner/b', '')] };
    const { file, record } = await write([image(amd64, [tar('base.tar'), tar('whiteout.tar'), top])], 'base-image');
    const { layers } = record.platforms[0]!;
    expect(layers[0]!.digest).toBe(`sha256:${sha256(join(folder, 'base.tar'))}`);
    const blob = join(extract(file), 'blobs', 'sha256', layers[2]!.digest.slice(7));
    expect(run('tar', '-tf', blob).trimEnd().split('\n')).toEqual(['gone/', 'gone/inner/', 'gone/inner/b', 'kept/a']);
  });

  it.each([
    ['not a reference', { references: ['Hello'] }, 'REFERENCE_INVALID'],
    ['a digest', { references: [`a@sha256:${'0'.repeat(64)}`] }, 'REFERENCE_INVALID'],
    ['a time before 1970', { createdSeconds: -1 }, 'OPTION_INVALID'],
    ['a fractional time', { createdSeconds: 1.5 }, 'OPTION_INVALID'],
    ['a platform twice', { images: [small, small] }, 'OPTION_INVALID'],
  ])('refuses %s before it writes anything', async (_what, rest, code) => {
    await expect(write([small], 'refused', rest)).rejects.toMatchObject({ code });
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });
});

describe('a failed write', () => {
  async function failing(name: string, spoil: (source: string) => void, signal?: AbortSignal) {
    const { file } = await write([small], name);
    const before = sha256(file);
    const source = join(folder, `${name}.bin`);
    writeFileSync(source, Buffer.alloc(3_000_000, 1));
    const layer = { entries: [fromDisk('a', source)] };
    spoil(source);
    const error = await write([image(amd64, [layer])], name, signal ? { signal } : {}).then(
      () => undefined,
      (reason) => reason,
    );
    expect(readdirSync(join(folder, name))).toEqual(['image.tar']);
    expect(sha256(file)).toBe(before);
    return { error, source };
  }

  it('names a source that grew, shrank or vanished since it was listed, and keeps the former archive', async () => {
    const grown = await failing('grown', (source) => appendFileSync(source, 'x'));
    expect(grown.error).toMatchObject({
      code: 'COPY_FAILED',
      message: `${grown.source} changed while the image was written: 3000000 bytes became 3000001.`,
    });
    const shrunk = await failing('shrunk', (source) => truncateSync(source, 100));
    expect(shrunk.error).toMatchObject({ code: 'COPY_FAILED', message: expect.stringContaining('became 100') });
    const gone = await failing('gone', (source) => rmSync(source));
    expect(gone.error).toMatchObject({ code: 'COPY_FAILED', message: `Can't read ${gone.source} (ENOENT).` });
  });

  it('notices a source that is written to while it is read', async () => {
    const source = join(folder, 'busy.bin');
    writeFileSync(source, Buffer.alloc(3_000_000, 1));
    const layer = { entries: [fromDisk('a', source)] };
    let looks = 0;
    // The writer asks the signal before each write: that is when the source grows.
    const signal = Object.defineProperty(new AbortController().signal, 'aborted', {
      get: () => {
        if (++looks === 3) appendFileSync(source, 'x');
        return false;
      },
    });
    await expect(write([image(amd64, [layer])], 'busy', { signal })).rejects.toMatchObject({
      code: 'COPY_FAILED',
      message: expect.stringContaining('3000000 bytes became 3000001'),
    });
    expect(readdirSync(join(folder, 'busy'))).toEqual([]);
  });

  it('stops where it is told to, in the middle of a layer too', async () => {
    const early = await failing('early', () => {}, AbortSignal.abort());
    expect(early.error).toMatchObject({ code: 'ABORTED' });
    let looks = 0;
    const signal = Object.defineProperty(new AbortController().signal, 'aborted', { get: () => ++looks > 2 });
    const middle = await failing('middle', () => {}, signal);
    expect(middle.error).toMatchObject({ code: 'ABORTED' });
    expect(looks).toBe(3);
  });

  const itAsRoot = process.platform === 'linux' && process.getuid?.() === 0 ? it : it.skip;
  itAsRoot('says that the disk is full, where, and what is free (a 1 MiB file system; needs root)', async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk);
    try {
      const { error } = await failing('disk', () => {});
      expect(error).toMatchObject({
        code: 'WRITE_FAILED',
        message: `Can't write ${join(disk, 'image.tar')}: the disk is full (ENOSPC). What was there before is unchanged.`,
        hint: expect.stringMatching(/^Free space in .*disk: \d+ KiB are free/),
      });
    } finally {
      run('umount', disk);
    }
  });

  it('says that something else is in the way', async () => {
    mkdirSync(join(folder, 'way'));
    writeFileSync(join(folder, 'way', 'file'), '');
    await expect(write([small], 'way/file')).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    mkdirSync(join(folder, 'way2', 'image.tar', 'x'), { recursive: true });
    await expect(write([small], 'way2')).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    expect(readdirSync(join(folder, 'way2'))).toEqual(['image.tar']);
  });
});

describe('other readers of one archive and of an archive for two platforms', () => {
  let one: Awaited<ReturnType<typeof write>>;
  let two: Awaited<ReturnType<typeof write>>;
  /** Two and another one in a single archive. */
  let merged: string;
  let other: Awaited<ReturnType<typeof write>>;
  const references = ['slim-go-archive-spec', 'localhost:5000/slim-go/archive-spec:1.2'];
  const more = ['slim-go-archive-spec-more:latest'];
  beforeAll(async () => {
    const layers: Layer[] = [
      {
        entries: [
          fromDisk('hello', binary),
          { type: 'directory', path: 'data', mode: 0o1777, uid: 65532, gid: 65532 },
          text('data/a', 'a', { uid: 65532 }),
          { type: 'hardlink', path: 'b-hard', mode: 0o644, uid: 65532, gid: 0, target: 'data/a' },
          { type: 'symlink', path: 'link', mode: 0o777, uid: 0, gid: 0, target: 'hello' },
          text('größe/名前', 'ü'),
          text(`${'x'.repeat(101)}/${'y'.repeat(120)}`, 'long'),
        ],
      },
      { entries: [text('data/second', '2')] },
    ];
    const config = { Entrypoint: ['/hello'], User: '65532:65532', Env: ['A=1'] };
    one = await write([image(host, layers, config)], 'readers-1', { references });
    two = await write([image(foreign, layers, config), image(host, layers, config)], 'readers-2', { references });
    other = await write([image(host, [{ entries: [text('other', 'o')] }])], 'readers-other', { references: more });
    merged = join(folder, 'merged.tar');
    await pipeline(mergeArchives([two.file, other.file, two.file]), createWriteStream(merged));
  });

  it('skopeo sees the manifest, by tag too, and the index with both platforms', () => {
    const { manifestDigest } = one.record.platforms[0]!;
    expect(JSON.parse(run('skopeo', 'inspect', `oci-archive:${one.file}:1.2`)).Digest).toBe(manifestDigest);
    const index = JSON.parse(run('skopeo', 'inspect', '--raw', `oci-archive:${two.file}:1.2`));
    expect(index.manifests.map(({ platform }: { platform: Platform }) => platform.architecture)).toEqual([
      foreign.architecture,
      host.architecture,
    ]);
    for (const { file, record } of [one, two]) {
      for (const source of [`oci-archive:${file}:latest`, `docker-archive:${file}:${references[0]}:latest`]) {
        const target = join(folder, `copy-${createHash('sha256').update(source).digest('hex')}`);
        // A full read: skopeo checks each digest on the way.
        run('skopeo', '--insecure-policy', 'copy', source, `dir:${target}`);
        const { layers } = record.platforms[0]!;
        const copied = JSON.parse(readFileSync(join(target, 'manifest.json'), 'utf8')).layers;
        expect(copied.map(({ digest }: { digest: string }) => digest)).toEqual(layers.map(({ digest }) => digest));
      }
    }
    const all = join(folder, 'copy-all');
    run('skopeo', '--insecure-policy', 'copy', '--all', `oci-archive:${two.file}:latest`, `dir:${all}`);
  });

  it('crane validates the docker-save view', () => {
    const crane = ['run', 'github.com/google/go-containerregistry/cmd/crane@v0.20.6'];
    const env = { ...process.env, GOFLAGS: '', GOWORK: 'off' };
    for (const { file } of [one, two]) {
      const args = [...crane, 'validate', '--tarball', file];
      expect(execFileSync('go', args, { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' })).toContain('PASS');
    }
  });

  it('umoci unpacks the root file system as described', () => {
    const layout = extract(one.file);
    const bundle = join(folder, 'bundle');
    run('umoci', 'unpack', ...(process.getuid?.() === 0 ? [] : ['--rootless']), '--image', `${layout}:latest`, bundle);
    const root = join(bundle, 'rootfs');
    expect(readFileSync(join(root, 'hello')).equals(readFileSync(binary))).toBe(true);
    expect(statSync(join(root, 'data')).mode & 0o7777).toBe(0o1777);
    expect(statSync(join(root, 'b-hard')).ino).toBe(statSync(join(root, 'data/a')).ino);
    expect(readFileSync(join(root, 'größe/名前'), 'utf8')).toBe('ü');
    expect(readFileSync(join(root, 'x'.repeat(101), 'y'.repeat(120)), 'utf8')).toBe('long');
    expect(readFileSync(join(root, 'data/second'), 'utf8')).toBe('2');
  });

  it('podman loads both, under all names', () => {
    const store = [
      '--root',
      join(folder, 'podman'),
      '--runroot',
      join(folder, 'podman-run'),
      '--storage-driver',
      'vfs',
    ];
    try {
      for (const { file, record } of [one, two]) {
        const loaded = run('podman', ...store, 'load', '-i', file);
        for (const name of ['docker.io/library/slim-go-archive-spec:latest', references[1]!]) {
          expect(loaded).toContain(name);
          const id = run('podman', ...store, 'image', 'inspect', '-f', '{{.Id}}', name).trim();
          expect(record.platforms.map(({ imageId }) => imageId)).toContain(`sha256:${id}`);
        }
        run('podman', ...store, 'rmi', '--all', '--force');
      }
    } finally {
      run('podman', ...store, 'system', 'reset', '--force');
    }
  });

  const hasContainerd = process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/containerd');
  (hasContainerd ? it : it.skip)('containerd imports both, and every blob of all platforms (needs root)', async () => {
    const root = join(folder, 'containerd');
    mkdirSync(root);
    const address = join(root, 'c.sock');
    const config = join(root, 'config.toml');
    writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
    const args = [
      '--config',
      config,
      '--root',
      join(root, 'root'),
      '--state',
      join(root, 'state'),
      '--address',
      address,
    ];
    const daemon = spawn('/usr/bin/containerd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const exited = once(daemon, 'exit');
    try {
      for await (const line of createInterface({ input: daemon.stderr }))
        if (line.includes('successfully booted')) break;
      daemon.stderr.resume();
      const ctr = (...rest: string[]) => run('ctr', '--address', address, '-n', 'slim-go-archive-spec', ...rest);
      for (const { file, record } of [one, two]) {
        ctr('images', 'import', '--no-unpack', '--all-platforms', file);
        const listed = ctr('images', 'ls').trim().split('\n').slice(1);
        const root = record.indexDigest ?? record.platforms[0]!.manifestDigest;
        expect(listed.map((line) => line.split(/\s+/)[0]).sort()).toEqual([
          'docker.io/library/slim-go-archive-spec:latest',
          references[1],
        ]);
        for (const line of listed) expect(line).toContain(root);
        const checks = ctr('images', 'check', '-q');
        expect(checks.trim().split('\n')).toHaveLength(2);
        const content = ctr('content', 'ls', '-q');
        for (const { imageId, manifestDigest, layers } of record.platforms) {
          for (const digest of [imageId, manifestDigest, ...layers.map((layer) => layer.digest)]) {
            expect(content).toContain(digest);
          }
        }
      }
      ctr('images', 'import', '--no-unpack', '--all-platforms', merged);
      const listed = ctr('images', 'ls');
      expect(listed).toMatch(new RegExp(`${more[0]} .*${other.record.platforms[0]!.manifestDigest}`));
      expect(listed).toMatch(new RegExp(`${references[1]} .*${two.record.indexDigest}`));
      expect(ctr('images', 'check', '-q').trim().split('\n')).toHaveLength(3);
    } finally {
      daemon.kill('SIGTERM');
      await exited;
    }
  });

  describe('of several archives merged into one', () => {
    it('tar lists each blob of all of them once', () => {
      const members = (file: string) => run('tar', '-tf', file).trim().split('\n');
      const names = members(merged);
      expect(names).toEqual([...new Set(names)]);
      expect(names.toSorted()).toEqual([...new Set([...members(two.file), ...members(other.file)])].sort());
      for (const name of names.filter((each) => each.startsWith('blobs/sha256/') && !each.endsWith('/'))) {
        const bytes = execFileSync('tar', ['-xOf', merged, name], { maxBuffer: 2 ** 26 });
        expect(`blobs/sha256/${createHash('sha256').update(bytes).digest('hex')}`).toBe(name);
      }
    });

    it('skopeo reads an image out of either view', () => {
      const [tag] = more;
      for (const source of [`docker-archive:${merged}:${tag}`, `docker-archive:${merged}:${references[0]}:latest`]) {
        const target = join(folder, `merged-${createHash('sha256').update(source).digest('hex')}`);
        run('skopeo', '--insecure-policy', 'copy', source, `dir:${target}`);
      }
      const index = JSON.parse(run('skopeo', 'inspect', '--raw', `oci-archive:${merged}:1.2`));
      expect(index.manifests).toHaveLength(2);
    });

    describeWithEngine('a container engine', () => {
      it('loads all of them in one go', () => {
        const docker = (...args: string[]) => run('docker', '--host', engineHost!, ...args);
        try {
          docker('load', '-i', merged);
          const ids = [references[0]!, more[0]!].map((name) => docker('inspect', '-f', '{{.Id}}', name).trim());
          const idOf = ({ record }: typeof two) =>
            record.platforms.find(({ platform }) => platform === `linux/${host.architecture}`)?.imageId;
          expect(ids).toEqual([idOf(two), idOf(other)]);
        } finally {
          docker('rmi', '--force', ...references, ...more);
        }
      });
    });
  });

  describeWithEngine('a container engine', () => {
    const docker = (...args: string[]) => run('docker', '--host', engineHost!, ...args);
    afterEach(() => {
      docker('rmi', '--force', ...references);
    });

    it.each(['one', 'two'])('loads the archive with %s platform(s) under its names and runs it', (which) => {
      const { file, record } = which === 'one' ? one : two;
      docker('load', '-i', file);
      const wanted = record.platforms.find(({ platform }) => platform === `linux/${host.architecture}`)!;
      for (const reference of references) {
        const [id, architecture] = docker('inspect', '-f', '{{.Id}} {{.Architecture}}', reference).trim().split(' ');
        expect([id, architecture]).toEqual([wanted.imageId, host.architecture]);
      }
      const output = execFileSync('docker', ['--host', engineHost!, 'run', '--rm', references[0]!, 'x'], {
        stdio: ['ignore', 'pipe', 'pipe'],
        encoding: 'utf8',
      });
      // print() writes to standard error; an exit code other than 0 would have thrown.
      expect(output).toBe('');
    });

    it('loads an image without layers, and one whose layers are equal', async () => {
      const empty = { ...image(host, []), history: [{ created_by: 'ENV A=1', empty_layer: true as const }] };
      const layer = { entries: [text('a', 'a')] };
      for (const each of [empty, image(host, [layer, layer])]) {
        const { file, record } = await write([each], 'odd', { references });
        docker('load', '-i', file);
        expect(docker('inspect', '-f', '{{.Id}}', references[0]!).trim()).toBe(record.platforms[0]!.imageId);
      }
    });
  });
});
