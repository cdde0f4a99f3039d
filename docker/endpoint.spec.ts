import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SlimGoError } from '../errors';
import { type EngineSurroundings, resolveEndpoints } from './endpoint';

let home: string;

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'slim-go-endpoint-'));
});

afterEach(() => rmSync(home, { recursive: true, force: true }));

function surroundings(env: NodeJS.ProcessEnv = {}, sockets: readonly string[] = []): EngineSurroundings {
  return { env, home, platform: 'linux', exists: (file) => sockets.includes(file) };
}

/** The docker command itself writes the contexts that are read here. */
function docker(...args: string[]): void {
  const { status, stderr } = spawnSync('docker', args, {
    env: { PATH: process.env.PATH, HOME: home },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
}

function errorOf(action: () => unknown): SlimGoError {
  try {
    action();
  } catch (error) {
    if (error instanceof SlimGoError) return error;
    throw error;
  }
  throw new Error('It did not throw.');
}

const dockerCommand = spawnSync('docker', ['context', 'ls'], { stdio: 'ignore' }).status === 0 || process.env.CI;
const itWithDockerCommand = dockerCommand ? it : it.skip;

describe('DOCKER_HOST', () => {
  it.each([
    ['unix:///run/x.sock', { kind: 'socket', path: '/run/x.sock' }],
    ['unix://', { kind: 'socket', path: '/var/run/docker.sock' }],
    ['npipe:////./pipe/docker_engine', { kind: 'socket', path: '//./pipe/docker_engine' }],
    ['tcp://build.example:2375', { kind: 'tcp', hostname: 'build.example', port: 2375, tls: undefined }],
    ['tcp://build.example', { kind: 'tcp', hostname: 'build.example', port: 2375 }],
    ['tcp://build.example:80', { kind: 'tcp', hostname: 'build.example', port: 80 }],
    ['build.example:1234', { kind: 'tcp', hostname: 'build.example', port: 1234 }],
    ['tcp://[::1]:2375', { kind: 'tcp', hostname: '::1', port: 2375 }],
    ['https://build.example', { kind: 'tcp', hostname: 'build.example', port: 2376, tls: { verify: true } }],
    ['ssh://me@build.example:2222', { kind: 'ssh', hostname: 'build.example', port: 2222, username: 'me' }],
    ['ssh://build.example', { kind: 'ssh', hostname: 'build.example', port: 22, username: 'somebody' }],
  ])('is understood as %s', (host, expected) => {
    const [endpoint] = resolveEndpoints(surroundings({ DOCKER_HOST: host, USER: 'somebody' }));
    expect(endpoint).toMatchObject({ ...expected, host, source: 'DOCKER_HOST' });
  });

  it.each([
    ['ftp://x', 'ftp:// is no way'],
    ['tcp://x:port', 'no host and port'],
    ['tcp://x/path', 'a path after the host'],
    ['tcp://me:secret@x', 'no user and password'],
    ['unix://relative.sock', 'starts with /'],
  ])('is refused as %s', (host, why) => {
    const error = errorOf(() => resolveEndpoints(surroundings({ DOCKER_HOST: host })));
    expect(error.code).toBe('ENGINE_ENDPOINT_INVALID');
    expect(error.message).toContain(`DOCKER_HOST is "${host}"`);
    expect(error.message).toContain(why);
    expect(error.hint).toContain('unix:///');
  });

  it('with DOCKER_TLS_VERIFY takes the certificates of DOCKER_CERT_PATH', () => {
    for (const name of ['ca', 'cert', 'key']) writeFileSync(path.join(home, `${name}.pem`), name);
    const env = { DOCKER_HOST: 'tcp://x', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: home };
    const tls = { ca: Buffer.from('ca'), cert: Buffer.from('cert'), key: Buffer.from('key'), verify: true };
    expect(resolveEndpoints(surroundings(env))).toMatchObject([{ port: 2376, tls }]);
  });

  it('with DOCKER_TLS_VERIFY and no certificate names the missing file', () => {
    const env = { DOCKER_HOST: 'tcp://x', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: home };
    expect(errorOf(() => resolveEndpoints(surroundings(env))).message).toContain(path.join(home, 'ca.pem'));
  });

  it('comes before every context', () => {
    const env = { DOCKER_HOST: 'tcp://x', DOCKER_CONTEXT: 'nowhere' };
    expect(resolveEndpoints(surroundings(env))).toMatchObject([{ hostname: 'x' }]);
  });
});

describe('a docker context', () => {
  itWithDockerCommand(
    'is read where the docker command has written it, for `docker context use` and DOCKER_CONTEXT',
    () => {
      docker('context', 'create', 'first', '--docker', 'host=unix:///run/first.sock');
      docker('context', 'create', 'second', '--docker', 'host=tcp://second.example:2375');
      docker('context', 'use', 'first');
      expect(resolveEndpoints(surroundings())).toMatchObject([
        { path: '/run/first.sock', source: 'docker context "first"' },
      ]);
      expect(resolveEndpoints(surroundings({ DOCKER_CONTEXT: 'second' }))).toMatchObject([
        { hostname: 'second.example' },
      ]);
    },
  );

  itWithDockerCommand('brings its certificates along', () => {
    // The docker command checks that they are a pair.
    const pem = path.join(home, 'key.pem');
    const cert = path.join(home, 'cert.pem');
    const subject = ['-subj', '/CN=x', '-nodes', '-keyout', pem, '-out', cert];
    expect(spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...subject]).status).toBe(0);
    docker('context', 'create', 'tls', '--docker', `host=tcp://x:2376,ca=${cert},cert=${cert},key=${pem}`);
    const [endpoint] = resolveEndpoints(surroundings({ DOCKER_CONTEXT: 'tls' }));
    expect(endpoint).toMatchObject({ tls: { verify: true, ca: expect.any(Buffer), key: expect.any(Buffer) } });
  });

  it('that does not exist is an error that lists those that do, never another engine', () => {
    const meta = path.join(home, '.docker', 'contexts', 'meta', 'a'.repeat(64));
    mkdirSync(meta, { recursive: true });
    writeFileSync(path.join(meta, 'meta.json'), JSON.stringify({ Name: 'known' }));
    const error = errorOf(() => resolveEndpoints(surroundings({ DOCKER_CONTEXT: 'gone' }, ['/var/run/docker.sock'])));
    expect(error.code).toBe('ENGINE_ENDPOINT_INVALID');
    expect(error.message).toContain('DOCKER_CONTEXT names the docker context "gone"');
    expect(error.hint).toContain('default, known');
  });

  it('named default is the ordinary engine', () => {
    expect(resolveEndpoints(surroundings({ DOCKER_CONTEXT: 'default' }, ['/var/run/docker.sock']))).toMatchObject([
      { path: '/var/run/docker.sock' },
    ]);
  });

  it('is looked up in DOCKER_CONFIG, whose damage is told with the file', () => {
    const folder = path.join(home, 'other');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'config.json'), '{');
    const error = errorOf(() => resolveEndpoints(surroundings({ DOCKER_CONFIG: folder })));
    expect(error.message).toContain(path.join(folder, 'config.json'));
  });
});

describe('the usual sockets', () => {
  it('are those that exist: Docker first, then rootless, desktop programs, Podman', () => {
    const runtime = '/run/user/7';
    const sockets = [
      '/run/podman/podman.sock',
      `${runtime}/podman/podman.sock`,
      path.join(home, '.orbstack/run/docker.sock'),
      path.join(home, '.rd/docker.sock'),
      path.join(home, '.config/colima/default/docker.sock'),
      path.join(home, '.colima/default/docker.sock'),
      path.join(home, '.docker/desktop/docker.sock'),
      path.join(home, '.docker/run/docker.sock'),
      `${runtime}/docker.sock`,
      '/var/run/docker.sock',
    ];
    const found = resolveEndpoints(surroundings({ XDG_RUNTIME_DIR: runtime }, sockets));
    expect(found.map((endpoint) => endpoint.kind === 'socket' && endpoint.path)).toEqual([
      ...sockets.slice(2).reverse(),
      `${runtime}/podman/podman.sock`,
      '/run/podman/podman.sock',
    ]);
  });

  it('are the default one where none exists, and pipes on Windows', () => {
    expect(resolveEndpoints(surroundings())).toMatchObject([{ host: 'unix:///var/run/docker.sock' }]);
    expect(resolveEndpoints({ env: {}, home, platform: 'win32' })[0]).toMatchObject({ path: '//./pipe/docker_engine' });
  });
});
