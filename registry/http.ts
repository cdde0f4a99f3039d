import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';

/** A request's body; a range of a file is read anew for each attempt. */
export type Body = Uint8Array | { readonly path: string; readonly offsetBytes: number; readonly sizeBytes: number };

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body | undefined;
  /** Is told of each part of a file that was handed on. */
  readonly onSent?: ((sizeBytes: number) => void) | undefined;
  /** A file that gets the body of a 200 or 206; what a broken connection left in it is asked for no more. */
  readonly into?: string | undefined;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** At most `maxBodyBytes`; empty where it went into a file. */
  readonly body: Buffer;
}

/** An answer larger than this is no document: the OCI limit for manifests is 4 MiB. */
const maxBodyBytes = 8 * 1024 * 1024;
/** A registry that says nothing for so long is not there any more. */
const idleMs = 60_000;
const attempts = 5;
const firstDelayMs = 250;
const maxDelayMs = 30_000;

const options = { keepAlive: true, scheduling: 'lifo' } as const;
// `proxyEnv` is Node 24's; earlier ones have no proxy of their own.
const proxied = { ...options, proxyEnv: process.env };
const agents = { 'http:': new HttpAgent(proxied), 'https:': new HttpsAgent(proxied) };

/** One attempt. Rejects where no whole answer came. */
export function send({ method, url, headers, body, into, onSent, signal }: HttpRequest): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const isSecure = url.protocol === 'https:';
    const sizeBytes = body === undefined ? 0 : body instanceof Uint8Array ? body.byteLength : body.sizeBytes;
    const presentBytes = (into === undefined ? undefined : statSync(into, { throwIfNoEntry: false })?.size) ?? 0;
    const hasBody = body !== undefined || method === 'POST' || method === 'PUT';
    const request = (isSecure ? httpsRequest : httpRequest)(url, {
      method,
      headers: {
        ...headers,
        ...(hasBody ? { 'content-length': sizeBytes } : {}),
        ...(presentBytes > 0 ? { range: `bytes=${presentBytes}-` } : {}),
        'user-agent': 'slim-go',
      },
      agent: agents[isSecure ? 'https:' : 'http:'],
      timeout: idleMs,
      signal,
    });
    request.on('timeout', () => request.destroy(new Error(`no answer for ${idleMs / 1000} s`)));
    request.on('error', reject);
    request.on('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      if (into !== undefined && (status === 200 || status === 206)) {
        const file = createWriteStream(into, status === 206 ? { flags: 'a' } : {});
        let broken: Error | undefined;
        response.on('error', (error) => {
          broken = error;
        });
        // Not `pipeline`: what came before a connection broke is kept.
        response.on('close', () => file.end());
        response.pipe(file, { end: false });
        file.on('error', (error) => {
          response.destroy();
          reject(error);
        });
        file.on('close', () => {
          if (response.complete) resolve({ status, headers, body: Buffer.alloc(0) });
          else reject(broken ?? new Error('the answer was cut off'));
        });
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxBodyBytes) response.destroy(new Error(`the answer has more than ${maxBodyBytes} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('close', () => {
        if (!response.complete) return reject(new Error('the answer was cut off'));
        resolve({ status, headers, body: Buffer.concat(chunks) });
        // A registry may refuse before it has read the whole body.
        if (!request.writableFinished) request.destroy();
      });
    });
    if (body === undefined || body instanceof Uint8Array) request.end(body);
    else if (body.sizeBytes === 0) request.end();
    else {
      const start = body.offsetBytes;
      const source = createReadStream(body.path, { start, end: start + body.sizeBytes - 1 });
      source.on('error', (error) => request.destroy(error));
      if (onSent) source.on('data', (chunk) => onSent(chunk.length));
      request.on('close', () => source.destroy());
      source.pipe(request);
    }
  });
}

/**
 * Up to five attempts: after a broken connection, 429 and 5xx, each time twice as long a pause, or as long as the server
 * says (Retry-After, at most 30 s).
 * @param isRetried `false`: the answer to a broken connection is the caller's (an upload goes on where it stopped)
 */
export async function sendPatiently(make: () => Promise<HttpRequest>, isRetried = true): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt++) {
    const request = await make();
    let response: HttpResponse | undefined;
    try {
      response = await send(request);
      if (!isTransient(response.status) || attempt === attempts) return response;
    } catch (error) {
      if (request.signal.aborted || attempt === attempts || !isRetried) throw error;
    }
    await pause(attempt, response?.headers['retry-after'], request.signal);
  }
}

function isTransient(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status !== 501 && status !== 505);
}

/** https://www.rfc-editor.org/rfc/rfc9110#field.retry-after */
export async function pause(attempt: number, retryAfter: string | undefined, signal: AbortSignal): Promise<void> {
  const own = firstDelayMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
  const asked = retryAfter === undefined ? Number.NaN : Number(retryAfter) * 1000;
  const until = Number.isNaN(asked) ? Date.parse(retryAfter ?? '') - Date.now() : asked;
  await wait(Math.min(Math.max(own, Number.isNaN(until) ? 0 : until), maxDelayMs), undefined, { signal });
}
