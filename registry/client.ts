import { SlimGoError } from '../errors';
import type { Credentials } from './credentials';
import { type Body, type HttpRequest, type HttpResponse, send, sendPatiently } from './http';

/** So many blobs of an image travel at once. */
export const blobsAtOnce = 4;

export interface RegistryOptions {
  /** As a reference names it: `ghcr.io`, `localhost:5000`. */
  readonly domain: string;
  /** Asked once, when the registry wants to know. */
  readonly credentials: () => Promise<Credentials | undefined>;
  /** Plain HTTP, without asking for TLS. */
  readonly plainHttp: boolean;
  /** What advice is about. */
  readonly purpose: 'push' | 'pull';
  readonly signal: AbortSignal;
}

export interface RegistryRequest {
  readonly method: string;
  /** `/v2/...`, or the whole address that the registry gave. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** See `HttpRequest`. */
  readonly onSent?: (sizeBytes: number) => void;
  /** A file for the body of the answer, see `HttpRequest`. */
  readonly into?: string;
  /** What it is for, in messages: `ghcr.io/acme/hello: blob sha256:...`. */
  readonly what: string;
  /** The repositories that it reads or writes: `repository:acme/hello:pull,push`. */
  readonly scopes: readonly string[];
  /** Any other is an error. */
  readonly expected: readonly number[];
  readonly isRetried?: boolean;
}

/** `localhost`, `127.x.x.x` or `[::1]`, with any port. */
export function isLocal(domain: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(domain);
}

/** `Accept` of whoever asks for a manifest. */
export const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Blobs often lie in another place, and registries move. */
const maxRedirects = 5;

/** One registry, and who asks it. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md */
export class RegistryClient {
  readonly domain: string;
  /** Known after the first request. */
  private base: URL | undefined;
  private credentials: Promise<Credentials | undefined> | undefined;
  /** The header `Authorization` by scopes; '' is what the registry wants for all. */
  private readonly authorizations = new Map<string, string>();
  /** Tokens that are being fetched, by scopes. */
  private readonly pending = new Map<string, Promise<string>>();

  constructor(private readonly options: RegistryOptions) {
    this.domain = options.domain;
  }

  /** @throws REGISTRY_FAILED which names the request, the registry's words and what to do; ABORTED */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const { what, expected } = request;
    let response: HttpResponse;
    try {
      this.base ??= await this.findBase();
      const used = this.authorizationFor(request.scopes);
      response = await this.ask(request);
      if (response.status === 401 && (await this.authorize(response, request, used)))
        response = await this.ask(request);
    } catch (error) {
      throw this.explain(error, what);
    }
    if (expected.includes(response.status)) return response;
    throw new SlimGoError('REGISTRY_FAILED', `${what}: ${this.domain} answered ${answerOf(response)}.`, {
      hint: hintFor(response, this.options),
    });
  }

  /** An address that the registry gave, against its own. */
  resolve(location: string): URL {
    return new URL(location, this.base);
  }

  /** Docker's way: TLS, on this machine plain HTTP where nobody answers with it. */
  private async findBase(): Promise<URL> {
    const { domain, plainHttp, signal } = this.options;
    const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
    const [plain, secure] = [new URL(`http://${host}`), new URL(`https://${host}`)];
    if (plainHttp) return plain;
    if (!isLocal(domain)) return secure;
    try {
      await send({ method: 'HEAD', url: new URL('/v2/', secure), headers: {}, signal });
      return secure;
    } catch (error) {
      // A certificate that is not trusted is one all the same.
      const isSecure = /CERT|SIGNATURE|ALTNAME/.test((error as NodeJS.ErrnoException).code ?? '');
      return isSecure ? secure : plain;
    }
  }

  private async ask({
    method,
    path,
    headers,
    body,
    into,
    onSent,
    scopes,
    isRetried,
  }: RegistryRequest): Promise<HttpResponse> {
    let url = this.resolve(path);
    const make = async (): Promise<HttpRequest> => {
      // Uploads may go to another host, which must not learn the token.
      const authorization = url.origin === this.base?.origin ? this.authorizationFor(scopes) : undefined;
      return {
        method,
        url,
        headers: { ...headers, ...(authorization && { authorization }) },
        body,
        into,
        onSent,
        signal: this.options.signal,
      };
    };
    for (let hop = 0; ; hop++) {
      const response = await sendPatiently(make, isRetried);
      const { location } = response.headers;
      const isRedirect = [301, 302, 303, 307, 308].includes(response.status) && location !== undefined;
      if (!isRedirect || hop === maxRedirects || (method !== 'GET' && method !== 'HEAD')) return response;
      url = new URL(location, url);
    }
  }

  private authorizationFor(scopes: readonly string[]): string | undefined {
    return this.authorizations.get(scopes.join(' ')) ?? this.authorizations.get('');
  }

  /**
   * Does what a 401 asks for. @returns whether it is worth asking again, with another header than the one `used`
   * https://distribution.github.io/distribution/spec/auth/token/ https://www.rfc-editor.org/rfc/rfc7235#section-4.1
   */
  private async authorize(
    response: HttpResponse,
    { scopes, what }: RegistryRequest,
    used: string | undefined,
  ): Promise<boolean> {
    const challenges = parseChallenges(String(response.headers['www-authenticate'] ?? ''));
    this.credentials ??= this.options.credentials();
    const credentials = await this.credentials;
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (credentials?.kind === 'registryToken') {
      this.authorizations.set('', `Bearer ${credentials.token}`);
    } else if (bearer?.parameters.realm !== undefined) {
      const key = scopes.join(' ');
      // Requests that ran beside each other share one token.
      if (this.authorizations.get(key) === used) {
        const pending =
          this.pending.get(key) ??
          this.fetchToken(bearer.parameters, scopes, credentials, what).finally(() => this.pending.delete(key));
        this.pending.set(key, pending);
        this.authorizations.set(key, `Bearer ${await pending}`);
      }
    } else if (challenges.some(({ scheme }) => scheme === 'basic') && credentials?.kind === 'password') {
      this.authorizations.set('', basic(credentials));
    }
    return this.authorizationFor(scopes) !== used;
  }

  private async fetchToken(
    { realm, service, scope }: Readonly<Record<string, string>>,
    scopes: readonly string[],
    credentials: Credentials | undefined,
    what: string,
  ): Promise<string> {
    const wanted = [...new Set([...scopes, ...(scope?.split(' ') ?? [])])];
    const { signal } = this.options;
    const url = new URL(realm!);
    if (url.protocol !== 'https:' && this.base?.protocol === 'https:') {
      throw new SlimGoError(
        'REGISTRY_FAILED',
        `${what}: ${this.domain} wants the password sent to ${url.origin}, in the clear.`,
      );
    }
    let request: HttpRequest;
    if (credentials?.kind === 'identityToken') {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: credentials.token,
        client_id: 'slim-go',
        ...(service === undefined ? {} : { service }),
        scope: wanted.join(' '),
      });
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      request = { method: 'POST', url, headers, body: Buffer.from(form.toString()), signal };
    } else {
      if (service !== undefined) url.searchParams.set('service', service);
      for (const one of wanted) url.searchParams.append('scope', one);
      const headers = credentials?.kind === 'password' ? { authorization: basic(credentials) } : {};
      request = { method: 'GET', url, headers, signal };
    }
    const response = await sendPatiently(async () => request);
    if (response.status === 200) {
      const { token, access_token: access } = parseJson(response.body) as { token?: string; access_token?: string };
      if (token ?? access) return (token ?? access)!;
    }
    throw new SlimGoError('REGISTRY_FAILED', `${what}: ${url.origin} gives no token: ${answerOf(response)}.`, {
      hint: hintFor(response, this.options),
    });
  }

  private explain(error: unknown, what: string): unknown {
    if (error instanceof SlimGoError) return error;
    const { signal } = this.options;
    if (signal.aborted) return new SlimGoError('ABORTED', `${what}: stopped.`, { cause: error });
    const { code, message } = error as NodeJS.ErrnoException;
    const isTls = /wrong version number|EPROTO|SSL/.test(`${code} ${message}`);
    return new SlimGoError(
      'REGISTRY_FAILED',
      `${what}: ${this.base?.origin ?? this.domain} can't be asked: ${message || code}.`,
      {
        hint: isTls
          ? 'Where the registry speaks plain HTTP, set the option "plainHttp".'
          : 'Is the registry there, and its name right? A certificate of your own goes into NODE_EXTRA_CA_CERTS.',
        cause: error,
      },
    );
  }
}

function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

interface Challenge {
  /** In small letters. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** `Bearer realm="...",service="...", Basic realm="..."`. https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  for (const [, scheme, name, quoted, plain] of header.matchAll(
    /(?:^|,)?\s*(?:([A-Za-z][\w-]*)(?:\s+|$)(?!\s*=))?(?:([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/g,
  )) {
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    const parameters = challenges.at(-1)?.parameters;
    if (parameters && name !== undefined)
      parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
  }
  return challenges;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) ?? {};
  } catch {
    return {};
  }
}

/** `403 (DENIED: requested access is denied)`. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes */
function answerOf({ status, body }: HttpResponse): string {
  const { errors } = parseJson(body) as { errors?: readonly { code?: string; message?: string }[] };
  const said = Array.isArray(errors)
    ? errors.map(({ code, message }) => [code, message].filter(Boolean).join(': '))
    : [];
  return said.length === 0 ? String(status) : `${status} (${said.join('; ').slice(0, 500)})`;
}

function hintFor({ status }: HttpResponse, { domain, purpose }: RegistryOptions): string {
  const isPush = purpose === 'push';
  if (status === 401 || status === 403) {
    const allowed = isPush
      ? 'the account must be allowed to write there'
      : 'some registries say so of a wrong name too';
    return `Log in with \`docker login ${domain}\`, or give DOCKER_AUTH_CONFIG; ${allowed}.`;
  }
  if (!isPush) return status === 404 ? 'Check its name and tag.' : 'Run this again later, or look at the registry.';
  if (status === 404) return 'Some registries want a repository to be made before the first push.';
  if (status === 413) return 'The registry, or a proxy in front of it, takes no blob of this size.';
  return 'Nothing was tagged. Push again: what is there already is not sent twice.';
}
