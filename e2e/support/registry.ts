import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const program = 'docker-registry';
const isThere = spawnSync(program, ['--version']).error === undefined;

/** `describe` that needs the distribution project's registry: Debian's docker-registry, which `npm test` installs there. */
export const describeWithRegistry: typeof describe | typeof describe.skip =
  isThere || process.env.CI ? describe : describe.skip;

/** A registry on loopback, with its own folder. */
export class TestRegistry {
  private constructor(
    /** `127.0.0.1:port`, with TLS `localhost:port` */
    readonly domain: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
    /** PEM file. */
    readonly certificate: string,
  ) {}

  /**
   * @param htpasswd the lines of who may come in; everybody by default
   * @param tls with the certificate `certificate` of `localhost`, which nobody trusts
   */
  static async start({ htpasswd, tls = false }: { htpasswd?: string; tls?: boolean } = {}): Promise<TestRegistry> {
    const folder = mkdtempSync(join(tmpdir(), 'slim-go-registry-'));
    const port = await freePort();
    const [certificate, key] = [join(folder, 'certificate.pem'), join(folder, 'key.pem')];
    if (tls) {
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
      const files = ['-keyout', key, '-out', certificate];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files], {
        stdio: 'ignore',
      });
    }
    const config = [
      'version: 0.1',
      'log: { level: error, accesslog: { disabled: true } }',
      `storage: { filesystem: { rootdirectory: ${join(folder, 'data')} } }`,
      `http: { addr: "127.0.0.1:${port}"${tls ? `, tls: { certificate: ${certificate}, key: ${key} }` : ''} }`,
      ...(htpasswd === undefined ? [] : [`auth: { htpasswd: { realm: test, path: ${join(folder, 'htpasswd')} } }`]),
    ];
    writeFileSync(join(folder, 'config.yml'), config.join('\n'));
    if (htpasswd !== undefined) writeFileSync(join(folder, 'htpasswd'), htpasswd);
    const child = spawn(program, ['serve', join(folder, 'config.yml')], { stdio: 'ignore' });
    const registry = new TestRegistry(tls ? `localhost:${port}` : `127.0.0.1:${port}`, folder, child, certificate);
    for (let attempt = 0; attempt < 100; attempt++) {
      if (await isOpen(port)) return registry;
      await wait(50);
    }
    registry.stop();
    throw new Error(`${program} does not answer`);
  }

  stop(): void {
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The digest that a tag names; undefined where it names none. */
  async digestOf(repository: string, tag: string, headers: Record<string, string> = {}): Promise<string | undefined> {
    const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json';
    const url = `http://${this.domain}/v2/${repository}/manifests/${tag}`;
    const { status, headers: answer } = await fetch(url, { method: 'HEAD', headers: { accept, ...headers } });
    return status === 200 ? (answer.get('docker-content-digest') ?? undefined) : undefined;
  }
}

/** What stands between a client and a registry: sees every request, and may answer or break it itself. */
export class TestProxy {
  readonly seen: string[] = [];
  /** `true`: it dealt with the request. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  private readonly server = createServer((incoming, response) => this.pass(incoming, response));

  constructor(private readonly target: string) {}

  async start(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private pass(incoming: IncomingMessage, response: ServerResponse): void {
    this.seen.push(`${incoming.method} ${incoming.url}`);
    if (this.intercept(incoming, response)) return;
    // The registry writes addresses for the host that it was asked as.
    const upstream = request(`http://${this.target}${incoming.url}`, {
      method: incoming.method,
      headers: incoming.headers,
    });
    upstream.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    incoming.on('close', () => incoming.complete || upstream.destroy());
    incoming.pipe(upstream);
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
