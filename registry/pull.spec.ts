import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { describeWithRegistry, TestProxy, TestRegistry } from '../e2e/support/registry';
import { parseReference } from '../image/reference';
import { parsePlatform } from '../platform';
import { BlobCache } from './blob-cache';
import { RegistryClient } from './client';
import { bestMatch, pullImage } from './pull';
import { type ImageSource, LayoutSource, RegistrySource } from './source';

const folder = mkdtempSync(join(tmpdir(), 'slim-go-pull-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** An OCI layout with an index of several platforms, whose layers tar made. */
function writeLayout(
  name: string,
  compress: (tar: Buffer) => Buffer,
  platforms = ['linux/amd64', 'linux/arm64', 'linux/arm/v6', 'linux/arm/v7'],
): { path: string; digest: string; files: Record<string, string> } {
  const path = join(folder, name);
  mkdirSync(join(path, 'blobs', 'sha256'), { recursive: true });
  const put = (bytes: Buffer) => {
    const digest = sha256(bytes);
    writeFileSync(join(path, 'blobs', ...digest.split(':')), bytes);
    return { digest, size: bytes.length };
  };
  const json = (value: unknown) => put(Buffer.from(JSON.stringify(value)));
  const root = join(folder, `${name}-root`);
  mkdirSync(join(root, 'etc'), { recursive: true });
  const files: Record<string, string> = {};
  const manifests = platforms.map((platform) => {
    const { os, architecture, variant } = parsePlatform(platform);
    files[platform] = `${name} for ${platform}`;
    writeFileSync(join(root, 'etc', 'issue'), files[platform]!);
    writeFileSync(join(root, 'etc', 'bulk'), Buffer.alloc(700_000, platform));
    const tar = execFileSync('tar', ['-c', '--owner=0', '--group=0', '-C', root, '.'], { maxBuffer: 1e8 });
    const config = json({
      os,
      architecture,
      variant,
      config: { Env: ['PATH=/bin', `WHO=${platform}`] },
      rootfs: { type: 'layers', diff_ids: [sha256(tar)] },
    });
    const layer = put(compress(tar));
    const manifest = json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer }],
    });
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    return { mediaType, ...manifest, platform: { os, architecture, variant } };
  });
  const index = json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests });
  const entry = { mediaType: 'application/vnd.oci.image.index.v1+json', ...index };
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, annotations }] }));
  return { path, digest: index.digest, files };
}

let caches = 0;
const newCache = (limitBytes = 1e9) => {
  const path = join(folder, `cache-${caches++}`);
  return { path, cache: new BlobCache(path, limitBytes) };
};
const { signal } = new AbortController();

function pull(source: ImageSource, digest: string, platform: string, cache: BlobCache) {
  return pullImage({ source, digest, platform: parsePlatform(platform), cache, onLayer: () => undefined, signal });
}

const issueOf = (image: Awaited<ReturnType<typeof pull>>) => {
  const [layer] = image.layers;
  if (!layer || !('tar' in layer)) throw new Error('no tar');
  return execFileSync('tar', ['-xOf', layer.tar.path, './etc/issue'], { encoding: 'utf8' });
};

describe('bestMatch', () => {
  const offers = (...platforms: string[]) => platforms.map((text) => ({ platform: parsePlatform(text), text }));
  it.each([
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v2', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/amd64/v3'], undefined],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm64'], 'linux/arm/v6'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm64', ['linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64', ['windows/arm64'], undefined],
  ])('for %s of %j takes %s', (wanted, offered, expected) => {
    expect(bestMatch(parsePlatform(wanted), offers(...offered))?.text).toBe(expected);
  });
});

describe('pullImage from a folder in OCI layout', () => {
  it('gives the image of the platform with its configuration', async () => {
    const layout = writeLayout('plain', (tar) => tar);
    const source = new LayoutSource('oci-layout://plain', layout.path, undefined);
    expect(await source.resolve()).toBe(layout.digest);
    const { cache } = newCache();
    for (const platform of ['linux/amd64', 'linux/arm/v7']) {
      const image = await pull(source, layout.digest, platform, cache);
      expect(issueOf(image)).toBe(layout.files[platform]);
      expect(image.config.Env).toEqual(['PATH=/bin', `WHO=${platform}`]);
    }
    await expect(pull(source, layout.digest, 'linux/s390x', cache)).rejects.toMatchObject({
      code: 'PLATFORM_INVALID',
      hint: expect.stringContaining('linux/amd64, linux/arm64, linux/arm/v6, linux/arm/v7'),
    });
  });

  const zstd = (zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer }).zstdCompressSync;
  (zstd ? it : it.skip)('reads zstd', async () => {
    const layout = writeLayout('zstd', zstd!);
    const source = new LayoutSource('oci-layout://zstd', layout.path, 'latest');
    expect(issueOf(await pull(source, layout.digest, 'linux/arm64', newCache().cache))).toBe('zstd for linux/arm64');
  });

  it('names the folder and what is wrong with it', async () => {
    const source = new LayoutSource('oci-layout://gone', join(folder, 'gone'), undefined);
    await expect(source.resolve()).rejects.toThrow(/oci-layout:\/\/gone: ENOENT/);
    const layout = writeLayout('tags', (tar) => tar);
    const other = new LayoutSource('oci-layout://tags:other', layout.path, 'other');
    await expect(other.resolve()).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      hint: expect.stringContaining('latest'),
    });
  });

  it('takes nothing that is damaged, wherever it is', async () => {
    const layout = writeLayout('damaged', (tar) => zlib.gzipSync(tar), ['linux/amd64']);
    const source = new LayoutSource('oci-layout://damaged', layout.path, undefined);
    const blobs = join(layout.path, 'blobs', 'sha256');
    for (const name of readdirSync(blobs)) {
      const whole = readFileSync(join(blobs, name));
      const broken = Buffer.from(whole);
      broken[Math.floor(broken.length / 2)]! ^= 1;
      for (const bytes of [broken, whole.subarray(0, -1), Buffer.alloc(0)]) {
        writeFileSync(join(blobs, name), bytes);
        const { cache, path } = newCache();
        await expect(pull(source, layout.digest, 'linux/amd64', cache)).rejects.toMatchObject({
          code: 'ARCHIVE_INVALID',
        });
        const left = existsSync(path) ? readdirSync(path).filter((file) => file.endsWith('.tmp')) : [];
        expect(left).toEqual([]);
      }
      writeFileSync(join(blobs, name), whole);
    }
    await pull(source, layout.digest, 'linux/amd64', newCache().cache);
  });
});

describe('BlobCache', () => {
  it('checks what it reads, and fetches anew what was damaged', async () => {
    const layout = writeLayout('again', (tar) => zlib.gzipSync(tar), ['linux/amd64']);
    const source = new LayoutSource('oci-layout://again', layout.path, undefined);
    const { cache, path } = newCache();
    await pull(source, layout.digest, 'linux/amd64', cache);
    const files = readdirSync(join(path, 'sha256')).map((name) => join(path, 'sha256', name));
    expect(files).toHaveLength(4);
    for (const file of files) {
      const bytes = readFileSync(file);
      bytes[bytes.length - 3]! ^= 1;
      writeFileSync(file, bytes);
    }
    expect(issueOf(await pull(source, layout.digest, 'linux/amd64', cache))).toBe('again for linux/amd64');
    // Without the source: all of it is there.
    rmSync(layout.path, { recursive: true });
    expect(issueOf(await pull(source, layout.digest, 'linux/amd64', cache))).toBe('again for linux/amd64');
  });

  it('stays below its limit, without what was used in the last hour', async () => {
    const { cache, path } = newCache(1_000_000);
    const digests = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (letter, index) => {
        const bytes = Buffer.alloc(400_000, letter);
        await cache.keepDocument(sha256(bytes), bytes);
        const time = Date.now() / 1000 - (4 - index) * 3600 + (letter === 'd' ? 3600 : 0);
        utimesSync(join(path, ...sha256(bytes).split(':')), time, time);
        return sha256(bytes);
      }),
    );
    const leftover = cache.temporaryFile();
    writeFileSync(leftover, 'x');
    utimesSync(leftover, 0, 0);
    cache.trim();
    const there = await Promise.all(digests.map(async (digest) => (await cache.document(digest)) !== undefined));
    expect(there).toEqual([false, false, true, true]);
    expect(statSync(leftover, { throwIfNoEntry: false })).toBeUndefined();
  });
});

describeWithRegistry('pullImage from a registry', () => {
  let registry: TestRegistry;
  let proxy: TestProxy;
  let proxied: string;
  let layout: ReturnType<typeof writeLayout>;
  const headers = { 'content-type': 'application/octet-stream' };

  beforeAll(async () => {
    registry = await TestRegistry.start();
    proxy = new TestProxy(registry.domain);
    proxied = await proxy.start();
    layout = writeLayout('registry', (tar) => zlib.gzipSync(tar));
    // By hand: what pushes here must not be what is tested.
    const base = `http://${registry.domain}/v2/acme/base`;
    const blobs = readdirSync(join(layout.path, 'blobs', 'sha256')).map((hex) => ({
      digest: `sha256:${hex}`,
      bytes: readFileSync(join(layout.path, 'blobs', 'sha256', hex)),
    }));
    const isManifest = (bytes: Buffer) => bytes.subarray(0, 18).toString() === '{"schemaVersion":2';
    for (const { digest, bytes } of blobs.filter((blob) => !isManifest(blob.bytes))) {
      const { headers: begun } = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
      const answer = await fetch(`${begun.get('location')}&digest=${digest}`, {
        method: 'PUT',
        headers,
        body: new Uint8Array(bytes),
      });
      expect(answer.status).toBe(201);
    }
    const manifests = blobs.filter((blob) => isManifest(blob.bytes));
    for (const { digest, bytes } of manifests.sort((a) => (a.digest === layout.digest ? 1 : -1))) {
      const { mediaType } = JSON.parse(bytes.toString()) as { mediaType: string };
      const tag = digest === layout.digest ? '1' : digest;
      const answer = await fetch(`${base}/manifests/${tag}`, {
        method: 'PUT',
        headers: { 'content-type': mediaType },
        body: new Uint8Array(bytes),
      });
      expect(answer.status).toBe(201);
    }
  });
  afterAll(() => {
    proxy?.stop();
    registry?.stop();
  });
  beforeEach(() => {
    proxy.seen.length = 0;
    proxy.intercept = () => false;
  });

  const source = (text: string) => {
    const reference = parseReference(text);
    const { domain } = reference;
    const credentials = async () => undefined;
    const client = new RegistryClient({ domain, credentials, plainHttp: false, purpose: 'pull', signal });
    return new RegistrySource(client, reference);
  };

  it('gives each platform, asks for nothing twice, and needs no registry for what it has', async () => {
    const { cache } = newCache();
    const first = source(`${proxied}/acme/base:1`);
    const digest = await first.resolve();
    expect(digest).toBe(layout.digest);
    for (const platform of Object.keys(layout.files)) {
      expect(issueOf(await pull(first, digest, platform, cache))).toBe(layout.files[platform]);
    }
    const asked = proxy.seen.filter((line) => line.includes('/acme/'));
    // The tag, the index by digest, and of each platform manifest, config and layer.
    expect(asked).toHaveLength(2 + 3 * 4);
    expect(new Set(asked).size).toBe(asked.length);
    proxy.seen.length = 0;
    await pull(first, digest, 'linux/arm64', cache);
    expect(proxy.seen).toEqual([]);
  });

  it('goes on where a connection broke', async () => {
    let cuts = 0;
    const ranges: (string | undefined)[] = [];
    proxy.intercept = (request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      ranges.push(request.headers.range);
      if (cuts >= 2) return false;
      cuts++;
      const hex = request.url!.slice(-64);
      const bytes = readFileSync(join(layout.path, 'blobs', 'sha256', hex));
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const headers = { 'content-length': bytes.length - start };
      response.writeHead(start > 0 ? 206 : 200, headers);
      response.write(bytes.subarray(start, start + 200), () => response.destroy());
      return true;
    };
    // The configuration comes first; its cuts are asked again as a whole.
    const image = await pull(source(`${proxied}/acme/base:1`), layout.digest, 'linux/amd64', newCache().cache);
    expect(issueOf(image)).toBe(layout.files['linux/amd64']);
    cuts = 0;
    ranges.length = 0;
    const file = join(folder, 'resumed');
    const manifest = readdirSync(join(layout.path, 'blobs', 'sha256')).find(
      (hex) =>
        readFileSync(join(layout.path, 'blobs', 'sha256', hex))
          .subarray(0, 2)
          .toString('hex') === '1f8b',
    )!;
    await source(`${proxied}/acme/base:1`).download(`sha256:${manifest}`, file);
    expect(sha256(readFileSync(file))).toBe(`sha256:${manifest}`);
    expect(ranges).toEqual([undefined, 'bytes=200-', 'bytes=400-']);
  });

  it('follows a registry to where its blobs are', async () => {
    const elsewhere = new TestProxy(registry.domain);
    const domain = await elsewhere.start();
    const authorizations: unknown[] = [];
    elsewhere.intercept = (request) => {
      authorizations.push(request.headers.authorization);
      return false;
    };
    proxy.intercept = (request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${domain}${request.url}` }).end();
      return true;
    };
    const image = await pull(source(`${proxied}/acme/base:1`), layout.digest, 'linux/arm/v6', newCache().cache);
    expect(issueOf(image)).toBe(layout.files['linux/arm/v6']);
    expect(authorizations).toEqual([undefined, undefined]);
    elsewhere.stop();
  });

  it('says which image a registry does not have, and what came changed', async () => {
    await expect(source(`${proxied}/acme/base:none`).resolve()).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(`${proxied}/acme/base:none: ${proxied} answered 404 (MANIFEST_UNKNOWN`),
      hint: 'Check its name and tag.',
    });
    proxy.intercept = (request, response) => {
      if (!request.url!.includes('/blobs/')) return false;
      response.end('something else');
      return true;
    };
    const pulled = pull(source(`${proxied}/acme/base:1`), layout.digest, 'linux/amd64', newCache().cache);
    await expect(pulled).rejects.toThrow(/acme\/base:1: what came for sha256:\w{64} is sha256:\w{64}/);
  });

  it('asks again after 500 and 429', async () => {
    let refusals = 2;
    proxy.intercept = (_, response) => {
      if (refusals === 0) return false;
      response.writeHead(refusals-- === 2 ? 500 : 429, { 'retry-after': '0' }).end();
      return true;
    };
    expect(await source(`${proxied}/acme/base:1`).resolve()).toBe(layout.digest);
  });
});
