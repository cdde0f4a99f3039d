import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { SlimGoError } from '../errors';
import { type Platform, parsePlatform } from '../platform';
import { type EngineEndpoint, type EngineSurroundings, resolveEndpoints } from './endpoint';
import { type EngineRequest, sendRequest, textOf } from './request';

const pingTimeoutMs = 5000;

/** What is asked of an image, as it is inspected and as it is listed. */
export interface ListedImage {
  /** Digest of its config, or with the containerd store of its manifest or index. */
  readonly Id: string;
  readonly RepoTags?: readonly string[] | null;
  /** From API 1.48 on. */
  readonly Descriptor?: { readonly digest?: string };
}

/** A container engine that has answered. */
export class Engine {
  /** As in DOCKER_HOST, for messages: `unix:///var/run/docker.sock`. */
  readonly host: string;
  private client: Dockerode | undefined;
  private enginePlatform: Promise<Platform> | undefined;

  constructor(private readonly endpoint: EngineEndpoint) {
    this.host = endpoint.host;
  }

  /** For this room only: other rooms call what is exported beside. Loaded (0.1 s) by the first who needs it. */
  get docker(): Dockerode {
    if (this.client === undefined) {
      const Docker = require('dockerode') as typeof Dockerode;
      this.client = new Docker(connectionOptions(this.endpoint));
    }
    return this.client;
  }

  /** What the engine runs images for by default; asked once. (Engines tell no variant: `linux/arm` reads as `linux/arm/v7`.) */
  platform(): Promise<Platform> {
    this.enginePlatform ??= this.get('/version').then((text) => {
      const { Os, Arch } = JSON.parse(text) as { Os: string; Arch: string };
      return parsePlatform(`${Os}/${Arch}`);
    });
    return this.enginePlatform;
  }

  /** Rejects unless the engine answers. */
  async ping(signal: AbortSignal): Promise<void> {
    await this.get('/_ping', signal);
  }

  /**
   * What the engine knows of an image, by reference or ID. Rejects with `statusCode` 404 where there is none.
   * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageInspect
   */
  async inspectImage(name: string): Promise<ListedImage> {
    return JSON.parse(await this.get(`/images/${name}/json`)) as ListedImage;
  }

  /** https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageList */
  async listImages(): Promise<readonly ListedImage[]> {
    return JSON.parse(await this.get('/images/json')) as ListedImage[];
  }

  /** https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageTag */
  async tagImage(name: string, repository: string, tag: string): Promise<void> {
    const query = new URLSearchParams({ repo: repository, tag });
    await textOf(await this.request({ method: 'POST', path: `/images/${name}/tag?${query}` }));
  }

  /**
   * Uploads an archive as `docker load` does; the answer is a stream of progress events.
   * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageLoad
   */
  loadImage(archive: Readable, signal?: AbortSignal): Promise<Readable> {
    return this.request({ method: 'POST', path: '/images/load?quiet=1', body: archive, signal });
  }

  private async get(path: string, signal?: AbortSignal): Promise<string> {
    return textOf(await this.request({ method: 'GET', path, signal }));
  }

  /** Without dockerode, except over SSH, which only dockerode speaks. */
  private request(request: EngineRequest): Promise<Readable> {
    if (this.endpoint.kind !== 'ssh') return sendRequest(this.endpoint, request);
    const { method, path, body, signal } = request;
    const options = {
      method,
      // It takes the last character off a path that holds a `?`, to put its own query there.
      path: path.includes('?') ? `${path}&` : path,
      ...(body && { file: body }),
      ...(signal && { abortSignal: signal }),
    };
    const statusCodes = { 200: true, 201: true };
    return new Promise((resolve, reject) => {
      this.docker.modem.dial({ ...options, isStream: true, statusCodes }, (error, answer) => {
        if (error) reject(error);
        else resolve(answer as Readable);
      });
    });
  }
}

/**
 * The first engine that answers among those that `surroundings` name (see resolveEndpoints).
 * @throws ENGINE_NOT_FOUND, ENGINE_ENDPOINT_INVALID
 */
export async function connectEngine(surroundings: EngineSurroundings): Promise<Engine> {
  const failures: Failure[] = [];
  for (const endpoint of resolveEndpoints(surroundings)) {
    const attempt = await tryConnect(endpoint, pingTimeoutMs);
    if (attempt instanceof Engine) return attempt;
    failures.push(attempt);
  }
  throw notFound(failures);
}

/**
 * As connectEngine, with undefined where none answers: for what is done only where an engine is at hand.
 * @throws ENGINE_ENDPOINT_INVALID: a mistake in what names the engine is never taken for its absence
 */
export async function findEngine(surroundings: EngineSurroundings): Promise<Engine | undefined> {
  try {
    return await connectEngine(surroundings);
  } catch (error) {
    if (error instanceof SlimGoError && error.code === 'ENGINE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** The engine's own words for a failed request, without dockerode's `(HTTP code 500) server error - `. */
export function engineMessage(error: unknown): string {
  const { json, message } = error as { json?: { message?: unknown } | null; message?: string };
  if (typeof json?.message === 'string') return json.message.trim();
  return (message ?? String(error)).replace(/^\(HTTP code \d+\) [^-]* - /, '').trim();
}

/** The HTTP status of a refused request; undefined where no answer came, for instance because the engine died. */
export function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number }).statusCode;
}

/** The ABORTED error of everything here that takes a signal. */
export function aborted(what: string): SlimGoError {
  return new SlimGoError('ABORTED', `${what} was interrupted.`);
}

interface Failure {
  readonly endpoint: EngineEndpoint;
  readonly error: unknown;
}

async function tryConnect(endpoint: EngineEndpoint, timeoutMs: number): Promise<Engine | Failure> {
  let timer: NodeJS.Timeout | undefined;
  const controller = new AbortController();
  try {
    const engine = new Engine(endpoint);
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })), timeoutMs);
    });
    await Promise.race([engine.ping(controller.signal), timeout]);
    return engine;
  } catch (error) {
    return { endpoint, error };
  } finally {
    clearTimeout(timer);
    // A request that nobody waits for any more would keep the process alive.
    controller.abort();
  }
}

/**
 * Every field is written out, also as undefined: dockerode fills what is left out from DOCKER_HOST and its kin.
 * No kept-alive connections: BuildKit then hangs or misreads a streamed context (apocas/docker-modem#196), and an idle
 * one that the engine has closed fails the next request.
 */
function connectionOptions(endpoint: EngineEndpoint): Dockerode.DockerOptions & { agent?: HttpAgent } {
  const none = {
    host: undefined,
    port: undefined,
    socketPath: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
  };
  if (endpoint.kind === 'socket') {
    return { ...none, protocol: 'http', socketPath: endpoint.path, agent: new HttpAgent({ keepAlive: false }) };
  }
  const address = { host: endpoint.hostname, port: endpoint.port };
  if (endpoint.kind === 'ssh') {
    const sshOptions = endpoint.agent === undefined ? {} : { agent: endpoint.agent };
    return { ...none, ...address, protocol: 'ssh', username: endpoint.username, sshOptions };
  }
  const { tls } = endpoint;
  if (tls === undefined) return { ...none, ...address, protocol: 'http', agent: new HttpAgent({ keepAlive: false }) };
  const agent = new HttpsAgent({ keepAlive: false, rejectUnauthorized: tls.verify });
  return { ...none, ...address, protocol: 'https', ca: tls.ca, cert: tls.cert, key: tls.key, agent };
}

function notFound(failures: readonly Failure[]): SlimGoError {
  const places = failures.map(({ endpoint, error }) => {
    const from = endpoint.source.startsWith('usual') ? '' : ` (from ${endpoint.source})`;
    return `${endpoint.host}${from}: ${explain(error)}`;
  });
  const message =
    places.length === 1
      ? `No container engine answers at ${places[0]}.`
      : `No container engine answers. Asked:\n${places.map((place) => `  ${place}`).join('\n')}`;
  return new SlimGoError('ENGINE_NOT_FOUND', message, { hint: advice(failures), cause: failures[0]?.error });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function explain(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'there is no such socket';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ETIMEDOUT':
      return 'no answer in time';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is unknown';
    default:
      return statusOf(error) === undefined
        ? engineMessage(error)
        : `something else listens there (it answered HTTP ${statusOf(error)})`;
  }
}

function advice(failures: readonly Failure[]): string {
  // A socket that is there but closed to this user is nearly always the engine that was meant.
  if (failures.some(({ error }) => ['EACCES', 'EPERM'].includes(codeOf(error) ?? ''))) {
    return (
      'This user may not open the socket. Join the group that owns it (`sudo usermod -aG docker $USER`, then log in again), ' +
      'or set DOCKER_HOST to a rootless engine.'
    );
  }
  const [first] = failures;
  if (first && !first.endpoint.source.startsWith('usual')) {
    return `Start that engine, or change ${first.endpoint.source.startsWith('DOCKER') ? first.endpoint.source : 'the context (`docker context use`)'}.`;
  }
  return 'Start Docker or Podman, or set DOCKER_HOST to where an engine listens.';
}
