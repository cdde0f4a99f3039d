import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { SlimGoError } from '../errors';

interface EndpointBase {
  /** As DOCKER_HOST writes it, for messages: `unix:///var/run/docker.sock`, `tcp://build.example:2376`. */
  readonly host: string;
  /** Where it came from, for messages: `DOCKER_HOST`, `docker context "remote"`, `default socket`. */
  readonly source: string;
}

/** Where a container engine listens. */
export type EngineEndpoint =
  /** A Unix socket or a Windows named pipe (`//./pipe/docker_engine`). */
  | (EndpointBase & { readonly kind: 'socket'; readonly path: string })
  | (EndpointBase & {
      readonly kind: 'tcp';
      readonly hostname: string;
      readonly port: number;
      readonly tls: TlsMaterial | undefined;
    })
  /** Through the SSH agent (SSH_AUTH_SOCK) only: dockerode reads neither ~/.ssh/config nor key files. */
  | (EndpointBase & {
      readonly kind: 'ssh';
      readonly hostname: string;
      readonly port: number;
      readonly username: string | undefined;
      readonly agent: string | undefined;
    });

/** PEM files as they stand on disk. */
interface TlsMaterial {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  /** False for DOCKER_TLS without DOCKER_TLS_VERIFY, and for a context with SkipTLSVerify. */
  readonly verify: boolean;
}

/** What decides where the engine is: everything that is outside this process, so that a test can stand in for it. */
export interface EngineSurroundings {
  readonly env: NodeJS.ProcessEnv;
  /** The user's home folder. */
  readonly home: string;
  readonly platform: NodeJS.Platform;
  /** Whether a socket is there; the file system's answer by default. */
  readonly exists?: (path: string) => boolean;
}

/**
 * The endpoints to try, best first: exactly one where DOCKER_HOST, DOCKER_CONTEXT or config.json's `currentContext` names
 * it (a named engine is never replaced by another one), otherwise the usual sockets that exist, otherwise the default one.
 * The order is the docker command's own: https://docs.docker.com/engine/manage-resources/contexts/
 * @throws ENGINE_ENDPOINT_INVALID for an unknown context, an unreadable configuration or a malformed DOCKER_HOST
 */
export function resolveEndpoints(surroundings: EngineSurroundings): readonly EngineEndpoint[] {
  const { env, home } = surroundings;
  const configFolder = env.DOCKER_CONFIG || path.join(home, '.docker');
  if (env.DOCKER_HOST) {
    return [parseHost(env.DOCKER_HOST, 'DOCKER_HOST', env, () => tlsFromEnvironment(env, configFolder))];
  }
  const configFile = path.join(configFolder, 'config.json');
  const [name, source] = env.DOCKER_CONTEXT
    ? [env.DOCKER_CONTEXT, 'DOCKER_CONTEXT']
    : [currentContext(configFile), configFile];
  if (name !== undefined && name !== 'default') return [readContext(name, source, configFolder, env)];
  return usualSockets(surroundings);
}

function usualSockets({ env, home, platform, exists = existsSync }: EngineSurroundings): readonly EngineEndpoint[] {
  if (platform === 'win32') {
    // A pipe can't be looked for without opening it: asking who answers is left to the ping.
    return ['docker_engine', 'dockerDesktopLinuxEngine', 'podman-machine-default'].map((pipe) => ({
      kind: 'socket',
      path: `//./pipe/${pipe}`,
      host: `npipe:////./pipe/${pipe}`,
      source: 'usual pipe',
    }));
  }
  const runtime = env.XDG_RUNTIME_DIR;
  const candidates = [
    '/var/run/docker.sock',
    ...(runtime ? [path.join(runtime, 'docker.sock')] : []),
    path.join(home, '.docker', 'run', 'docker.sock'),
    path.join(home, '.docker', 'desktop', 'docker.sock'),
    path.join(home, '.colima', 'default', 'docker.sock'),
    path.join(env.XDG_CONFIG_HOME || path.join(home, '.config'), 'colima', 'default', 'docker.sock'),
    path.join(home, '.rd', 'docker.sock'),
    path.join(home, '.orbstack', 'run', 'docker.sock'),
    ...(runtime ? [path.join(runtime, 'podman', 'podman.sock')] : []),
    path.join(home, '.local', 'share', 'containers', 'podman', 'machine', 'podman.sock'),
    '/run/podman/podman.sock',
  ];
  const found = candidates.filter((candidate) => exists(candidate));
  return (found.length === 0 ? candidates.slice(0, 1) : found).map((socket) => ({
    kind: 'socket',
    path: socket,
    host: `unix://${socket}`,
    source: 'usual socket',
  }));
}

const hostForms =
  'Write unix:///path/to.sock, npipe:////./pipe/name, tcp://host:port or ssh://user@host, or unset it to use the usual sockets.';

function parseHost(
  host: string,
  source: string,
  env: NodeJS.ProcessEnv,
  readTls: () => TlsMaterial | undefined,
): EngineEndpoint {
  const invalid = (why: string): SlimGoError =>
    new SlimGoError('ENGINE_ENDPOINT_INVALID', `${source} is "${host}": ${why}.`, { hint: hostForms });
  const [, scheme = 'tcp', rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/is.exec(host.trim()) ?? [];
  if (scheme === 'unix' || scheme === 'npipe') {
    const socket = rest || (scheme === 'unix' ? '/var/run/docker.sock' : '//./pipe/docker_engine');
    if (scheme === 'unix' && !path.posix.isAbsolute(socket)) throw invalid('the path of a Unix socket starts with /');
    return { kind: 'socket', path: socket.replaceAll('\\', '/'), host, source };
  }
  if (!['tcp', 'http', 'https', 'ssh'].includes(scheme)) throw invalid(`${scheme}:// is no way to reach an engine`);
  let url: URL;
  try {
    // Not http://, whose default port URL would drop.
    url = new URL(`tcp://${rest}`);
  } catch {
    throw invalid('that is no host and port');
  }
  if (!['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== '')
    throw invalid('a path after the host is not supported');
  if (url.hostname === '') throw invalid('it names no host');
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? undefined : Number(url.port);
  if (scheme === 'ssh') {
    const username = decodeURIComponent(url.username) || env.USER || env.USERNAME;
    return { kind: 'ssh', hostname, port: port ?? 22, username, agent: env.SSH_AUTH_SOCK, host, source };
  }
  if (url.username !== '' || url.password !== '') throw invalid('an engine takes no user and password in its address');
  const tls = readTls() ?? (scheme === 'https' ? noTlsFiles : undefined);
  return { kind: 'tcp', hostname, port: port ?? (tls ? 2376 : 2375), tls, host, source };
}

const noTlsFiles: TlsMaterial = { ca: undefined, cert: undefined, key: undefined, verify: true };

function tlsFromEnvironment(env: NodeJS.ProcessEnv, configFolder: string): TlsMaterial | undefined {
  if (!env.DOCKER_TLS_VERIFY && !env.DOCKER_TLS) return undefined;
  const folder = env.DOCKER_CERT_PATH || configFolder;
  const tls = readTlsFiles(folder, Boolean(env.DOCKER_TLS_VERIFY));
  if (tls.verify && tls.ca === undefined) {
    throw new SlimGoError(
      'ENGINE_ENDPOINT_INVALID',
      `DOCKER_TLS_VERIFY is set, but there is no ${path.join(folder, 'ca.pem')}.`,
      { hint: 'Set DOCKER_CERT_PATH to the folder that holds ca.pem, cert.pem and key.pem.' },
    );
  }
  return tls;
}

function readTlsFiles(folder: string, verify: boolean): TlsMaterial {
  const read = (name: string): Buffer | undefined => {
    const file = path.join(folder, name);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem'), verify };
}

/** `currentContext` of config.json, undefined where the file or the field is not there. */
function currentContext(configFile: string): string | undefined {
  const config = readJson(configFile) as { currentContext?: unknown } | undefined;
  return typeof config?.currentContext === 'string' && config.currentContext !== '' ? config.currentContext : undefined;
}

/** The parts of a context's meta.json that matter here. */
interface ContextMeta {
  readonly Name?: string;
  readonly Endpoints?: { readonly docker?: { readonly Host?: string; readonly SkipTLSVerify?: boolean } };
}

function readContext(name: string, source: string, configFolder: string, env: NodeJS.ProcessEnv): EngineEndpoint {
  const contexts = path.join(configFolder, 'contexts');
  const id = createHash('sha256').update(name).digest('hex');
  const metaFile = path.join(contexts, 'meta', id, 'meta.json');
  const meta = readJson(metaFile) as ContextMeta | undefined;
  if (meta === undefined) {
    const known = ['default', ...contextNames(path.join(contexts, 'meta'))].join(', ');
    throw new SlimGoError(
      'ENGINE_ENDPOINT_INVALID',
      `${source} names the docker context "${name}", and there is none of that name.`,
      { hint: `Contexts that exist: ${known}. Choose one with \`docker context use\`, or set DOCKER_HOST.` },
    );
  }
  const host = meta.Endpoints?.docker?.Host;
  if (!host) {
    throw new SlimGoError(
      'ENGINE_ENDPOINT_INVALID',
      `${metaFile}: the docker context "${name}" names no docker host.`,
      {
        hint: 'Set it with `docker context update`, or choose another context with `docker context use`.',
      },
    );
  }
  return parseHost(host, `docker context "${name}"`, env, () => {
    const folder = path.join(contexts, 'tls', id, 'docker');
    return existsSync(folder) ? readTlsFiles(folder, meta.Endpoints?.docker?.SkipTLSVerify !== true) : undefined;
  });
}

function contextNames(metaFolder: string): readonly string[] {
  if (!existsSync(metaFolder)) return [];
  const names = readdirSync(metaFolder).map(
    (id) => (readJson(path.join(metaFolder, id, 'meta.json')) as ContextMeta | undefined)?.Name,
  );
  return names.filter((name) => name !== undefined).sort();
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new SlimGoError('ENGINE_ENDPOINT_INVALID', `${file} can't be read: ${(error as Error).message}.`, {
      hint: 'It decides which container engine is meant. Make it readable, or set DOCKER_HOST.',
      cause: error,
    });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SlimGoError('ENGINE_ENDPOINT_INVALID', `${file} is not valid JSON: ${(error as Error).message}.`, {
      hint: 'It decides which container engine is meant. Mend it, or set DOCKER_HOST.',
      cause: error,
    });
  }
}
