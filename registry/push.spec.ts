import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithRegistry, TestProxy, TestRegistry } from '../e2e/support/registry';
import { writeArchive } from '../image/archive';
import type { Image } from '../image/image';
import { makePushable, type PushableImage } from '../image/pushable';
import type { ImageRecord } from '../image/record';
import { parseReference } from '../image/reference';
import { RegistryClient } from './client';
import type { Credentials } from './credentials';
import { pushImage, tagImage } from './push';

const amd64 = { os: 'linux', architecture: 'amd64' };
const armV7 = { os: 'linux', architecture: 'arm', variant: 'v7' };
const { signal } = new AbortController();

let folder: string;
let small: Made;
let large: Made;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-push-spec-'));
  small = await make('small', [amd64, armV7], Buffer.from('hello\n'));
  // More than two pieces even when compressed.
  large = await make('large', [amd64], randomBytes(40 * 1024 * 1024));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Made {
  readonly image: PushableImage;
  readonly record: ImageRecord;
  readonly archive: string;
}

async function make(name: string, platforms: Image['platform'][], content: Buffer): Promise<Made> {
  const path = join(folder, `${name}.bin`);
  writeFileSync(path, content);
  const images = platforms.map((platform) => ({
    platform,
    config: { Entrypoint: ['/x'], Env: [`FOR=${platform.architecture}`] },
    history: [{ created_by: 'COPY' }],
    layers: [
      {
        entries: [
          {
            type: 'file' as const,
            path: 'x',
            mode: 0o755,
            uid: 0,
            gid: 0,
            content: { path, offsetBytes: 0, sizeBytes: statSync(path).size },
          },
        ],
      },
    ],
  }));
  const archive = join(folder, `${name}.tar`);
  const record = await writeArchive({
    images,
    references: [name],
    file: archive,
    hostPlatform: amd64,
    createdSeconds: 0,
  });
  const scratch = mkdtempSync(join(folder, 'layers-'));
  return { ...(await makePushable({ record, archive, compression: 'gzip' }, scratch, signal)), record, archive };
}

function clientOf(domain: string, credentials?: Credentials): RegistryClient {
  return new RegistryClient({
    domain,
    credentials: async () => credentials,
    plainHttp: false,
    purpose: 'push',
    signal,
  });
}

async function push(
  domain: string,
  { image }: Made,
  references: readonly string[],
  credentials?: Credentials,
  holderOf?: (digest: string) => string,
) {
  const client = clientOf(domain, credentials);
  const sent: string[] = [];
  await pushImage({
    client,
    image,
    references: references.map((reference) => parseReference(`${domain}/${reference}`)),
    ...(holderOf && { holderOf }),
    onBlob: (repository, digest) => sent.push(`${repository} ${digest}`),
    signal,
  });
  return { client, sent };
}

const inspect = (domain: string, reference: string, ...args: string[]) =>
  execFileSync('skopeo', ['inspect', '--tls-verify=false', ...args, `docker://${domain}/${reference}`], {
    encoding: 'utf8',
  });

describeWithRegistry('push', () => {
  let registry: TestRegistry;
  let proxy: TestProxy;
  let domain: string;
  beforeEach(async () => {
    registry = await TestRegistry.start();
    proxy = new TestProxy(registry.domain);
    domain = await proxy.start();
  });
  afterEach(() => {
    proxy.stop();
    registry.stop();
  });

  it('gives what skopeo reads, all platforms, under every tag', async () => {
    await push(domain, small, ['acme/hello:latest', 'acme/hello:v1', 'other/hello:latest']);
    for (const tag of ['latest', 'v1']) {
      expect(await registry.digestOf('acme/hello', tag)).toBe(small.image.root.descriptor.digest);
    }
    const index = JSON.parse(inspect(registry.domain, 'other/hello:latest', '--raw'));
    expect(index.manifests.map(({ platform }: { platform: object }) => platform)).toEqual([amd64, armV7]);
    const read = JSON.parse(
      inspect(registry.domain, 'acme/hello:v1', '--override-arch=arm', '--override-variant=v7', '--config'),
    );
    expect(read.config).toEqual({ Entrypoint: ['/x'], Env: ['FOR=arm'] });
    const { imageId, layers } = small.record.platforms[0]!;
    const source = `docker://${registry.domain}/acme/hello:latest`;
    const copied = join(folder, 'copied');
    execFileSync('skopeo', ['copy', '-q', '--override-arch=amd64', '--src-tls-verify=false', source, `dir:${copied}`]);
    const config = JSON.parse(readFileSync(join(copied, imageId.replace('sha256:', '')), 'utf8'));
    expect(config.rootfs.diff_ids).toEqual(layers.map(({ diffId }) => diffId));
  });

  it("attaches documents: in the registry's own list where it has one, otherwise under a tag", async () => {
    const subject = small.image.manifests[0]!.descriptor.digest;
    const pushDocument = (artifactType: string) =>
      pushImage({
        client: clientOf(domain),
        image: small.image,
        references: [parseReference(`${domain}/acme/hello:latest`)],
        attachments: new Map([[subject, [{ artifactType, content: Buffer.from(artifactType) }]]]),
        onBlob: () => undefined,
        signal,
      });
    await pushDocument('application/one');
    await pushDocument('application/two');
    await pushDocument('application/two');
    const tag = subject.replace(':', '-');
    const { manifests } = JSON.parse(inspect(registry.domain, `acme/hello:${tag}`, '--raw'));
    expect(manifests.map(({ artifactType }: { artifactType: string }) => artifactType)).toEqual([
      'application/one',
      'application/two',
    ]);
    for (const { digest } of manifests) {
      const manifest = JSON.parse(inspect(registry.domain, `acme/hello@${digest}`, '--raw'));
      expect(manifest).toMatchObject({ subject: { digest: subject }, config: { digest: expect.any(String), size: 2 } });
      const [{ digest: blob }] = manifest.layers;
      const answer = await fetch(`http://${registry.domain}/v2/acme/hello/blobs/${blob}`);
      expect(await answer.text()).toBe(manifest.artifactType);
    }
    // A registry that has a list says so.
    proxy.intercept = (request, response) => {
      if (request.method === 'PUT') response.setHeader('OCI-Subject', subject);
      return false;
    };
    proxy.seen.length = 0;
    await pushDocument('application/three');
    expect(proxy.seen.filter((line) => line.includes(tag))).toEqual([]);
  });

  it('sends nothing that is there, and mounts what another repository has', async () => {
    const first = await push(domain, small, ['acme/hello:latest']);
    expect(first.sent).toHaveLength(small.image.blobs.length);
    proxy.seen.length = 0;
    const again = await push(domain, small, ['acme/hello:v2', 'acme/second:v2']);
    expect(again.sent).toEqual([]);
    expect(proxy.seen.filter((line) => /^(PUT|PATCH) .*\/blobs\//.test(line))).toEqual([]);
    expect(proxy.seen.filter((line) => /mount=sha256/.test(line))).toHaveLength(small.image.blobs.length);
    proxy.seen.length = 0;
    const { root } = small.image;
    const tag = (...tags: string[]) =>
      tagImage(
        again.client,
        root,
        tags.map((text) => parseReference(`${domain}/${text}`)),
      );
    expect(await tag('acme/second:v2', 'acme/hello:latest')).toBe(0);
    expect(proxy.seen.every((line) => line.startsWith('HEAD '))).toBe(true);
    expect(await tag('acme/second:v2', 'acme/second:v3')).toBe(1);
    expect(await registry.digestOf('acme/second', 'v3')).toBe(root.descriptor.digest);
    expect(await tag('acme/second:v4', 'acme/third:v1')).toBeUndefined();
    expect(await registry.digestOf('acme/second', 'v4')).toBeUndefined();
  });

  it('mounts from the repository that is known to have a blob, and sends it where that is not so', async () => {
    await push(domain, small, ['acme/hello:latest']);
    const holders = ['acme/hello', 'acme/none'];
    for (const holder of holders) {
      proxy.seen.length = 0;
      const sent = await push(domain, small, [`${holder}-2:latest`], undefined, () => holder);
      expect(sent.sent).toHaveLength(holder === 'acme/hello' ? 0 : small.image.blobs.length);
      expect(await registry.digestOf(`${holder}-2`, 'latest')).toBe(small.image.root.descriptor.digest);
    }
  });

  it('pushes fifty images at once', async () => {
    const { root } = small.image;
    const repositories = Array.from({ length: 50 }, (_, index) => `acme/app-${index}`);
    await Promise.all(
      repositories.map((repository) => push(domain, small, [`${repository}:latest`, `${repository}:v1`])),
    );
    for (const repository of repositories) {
      expect(await registry.digestOf(repository, 'v1')).toBe(root.descriptor.digest);
    }
  });

  it('goes on with a large blob where the connection broke', async () => {
    let cuts = 0;
    proxy.intercept = (request: IncomingMessage) => {
      if (request.method !== 'PATCH' || ++cuts !== 2) return false;
      request.on('data', () => request.socket.destroy());
      return true;
    };
    await push(domain, large, ['acme/large:latest']);
    expect(await registry.digestOf('acme/large', 'latest')).toBe(large.image.root.descriptor.digest);
    const pieces = Math.ceil(
      large.image.blobs.find(({ descriptor }) => descriptor.size > 1e6)!.descriptor.size / 2 ** 24,
    );
    // Each piece once, and the broken one again.
    expect(proxy.seen.filter((line) => line.startsWith('PATCH '))).toHaveLength(pieces + 1);
    execFileSync('skopeo', [
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${registry.domain}/acme/large`,
      `dir:${join(folder, 'large-copy')}`,
    ]);
  });

  const answer =
    (status: number, headers: Record<string, string> = {}) =>
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(status, headers).end('{"errors":[{"code":"X","message":"said so"}]}');
      return true;
    };
  it.each([
    ['429 with Retry-After', answer(429, { 'retry-after': '1' })],
    ['500', answer(500)],
    ['503', answer(503)],
    ['a broken connection', (request: IncomingMessage) => !!request.socket.destroy()],
    [
      'an answer that is cut off',
      (_: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': '100' }).write('x');
        setTimeout(() => response.destroy(), 20);
        return true;
      },
    ],
  ])('asks again after %s, whatever it was', async (_what, disturb) => {
    const met = new Set<string>();
    proxy.intercept = (request, response) => {
      const kind = `${request.method} ${request.url?.replace(/sha256.*|uploads.*/, '')}`;
      if (met.has(kind)) return false;
      met.add(kind);
      return disturb(request, response);
    };
    await push(domain, small, ['acme/hello:latest']);
    expect(met.size).toBeGreaterThan(3);
    expect(await registry.digestOf('acme/hello', 'latest')).toBe(small.image.root.descriptor.digest);
  });

  it.each([
    ['a blob', /PUT .*blobs/, /acme\/hello: blob sha256:[0-9a-f]{64}: 127\.0\.0\.1:\d+ answered 400 \(X: said so\)/],
    ['a manifest', /PUT .*manifests\/sha256/, /acme\/hello@sha256:[0-9a-f]{64}: 127\.0\.0\.1:\d+ answered 400/],
  ])('tags nothing where %s is refused, and says what', async (_what, refused, message) => {
    proxy.intercept = (request, response) =>
      refused.test(`${request.method} ${request.url}`) && answer(400)(request, response);
    await expect(push(domain, small, ['acme/hello:latest'])).rejects.toThrow(message);
    expect(await registry.digestOf('acme/hello', 'latest')).toBeUndefined();
  });

  it('notices bytes that were changed on the way', async () => {
    const { image } = small;
    const blob = image.blobs[0]!;
    const bent = { ...blob, content: Buffer.alloc(blob.descriptor.size, 7) };
    await expect(
      push(domain, { ...small, image: { ...image, blobs: [bent, ...image.blobs.slice(1)] } }, ['acme/x:y']),
    ).rejects.toThrow(/DIGEST_INVALID/);
    expect(await registry.digestOf('acme/x', 'y')).toBeUndefined();
  });

  it('fetches a token where it is asked for one, for the repository, once', async () => {
    const asked: string[] = [];
    const password = 'p+/=ä';
    proxy.intercept = (request, response) => {
      const url = new URL(request.url!, 'http://x');
      if (url.pathname === '/token') {
        asked.push(
          `${request.headers.authorization} ${url.searchParams.get('service')} ${url.searchParams.getAll('scope')}`,
        );
        response.writeHead(200).end('{"token":"t+/="}');
        return true;
      }
      if (request.headers.authorization === 'Bearer t+/=') {
        delete request.headers.authorization;
        return false;
      }
      const challenge = `Bearer realm="http://${request.headers.host}/token",service="a service",scope="repository:acme/hello:pull"`;
      return answer(401, { 'www-authenticate': challenge })(request, response);
    };
    await push(domain, small, ['acme/hello:latest'], { kind: 'password', username: 'me', password });
    const basic = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
    expect(asked).toEqual([`${basic} a service repository:acme/hello:pull,push,repository:acme/hello:pull`]);
    expect(await registry.digestOf('acme/hello', 'latest')).toBe(small.image.root.descriptor.digest);
  });

  it('gives a refresh token to the token service only', async () => {
    let form = '';
    proxy.intercept = (request, response) => {
      if (request.url === '/token') {
        request.on('data', (chunk) => {
          form += chunk;
        });
        request.on('end', () => response.writeHead(200).end('{"access_token":"short"}'));
        return true;
      }
      if (request.headers.authorization === 'Bearer short') {
        delete request.headers.authorization;
        return false;
      }
      return answer(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` })(
        request,
        response,
      );
    };
    await push(domain, small, ['acme/hello:latest'], { kind: 'identityToken', token: 'r+/=%' });
    expect(Object.fromEntries(new URLSearchParams(form))).toMatchObject({
      grant_type: 'refresh_token',
      refresh_token: 'r+/=%',
    });
  });
});

describeWithRegistry('push with a password', () => {
  // `htpasswd -nbB`
  const htpasswd = 'käthe+1:$2y$05$DT3oF4KgxDS.z..oMJEbqu2cVC4vC0EidoCyi/HXVW84ekDDpmjpW\n';
  const right: Credentials = { kind: 'password', username: 'käthe+1', password: 'p=ä/ß+%20:"x' };
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await TestRegistry.start({ htpasswd });
  });
  afterAll(() => registry.stop());

  it('comes in with it', async () => {
    await push(registry.domain, small, ['acme/hello:latest'], right);
    const authorization = `Basic ${Buffer.from(`${right.username}:${right.password}`).toString('base64')}`;
    expect(await registry.digestOf('acme/hello', 'latest', { authorization })).toBe(small.image.root.descriptor.digest);
  });

  it.each([
    ['nobody logged in', undefined],
    ['the password is wrong', { ...right, password: 'secret-and-wrong' }],
  ])('says how to log in where %s, and no secret', async (_what, credentials) => {
    const error = await push(registry.domain, small, ['acme/hello:latest'], credentials).catch((error) => error);
    expect(error).toMatchObject({
      code: 'REGISTRY_FAILED',
      hint: expect.stringContaining(`docker login ${registry.domain}`),
    });
    expect(error.message).toMatch(/acme\/hello: blob sha256:.* answered 401/);
    expect(JSON.stringify([error.message, error.hint, String(error.cause)])).not.toContain('secret');
  });
});

it('says that nobody answers', async () => {
  await expect(push('127.0.0.1:1', small, ['acme/hello:latest'])).rejects.toMatchObject({
    code: 'REGISTRY_FAILED',
    message: expect.stringMatching(/^127\.0\.0\.1:1\/acme\/hello: blob sha256:.*ECONNREFUSED/),
  });
});
