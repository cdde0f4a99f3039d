import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Readable } from 'node:stream';
import type { EngineEndpoint } from './endpoint';

/** An endpoint that plain HTTP reaches. */
type HttpEndpoint = Exclude<EngineEndpoint, { readonly kind: 'ssh' }>;

/** One request of the engine's API: https://docs.docker.com/reference/api/engine/version/v1.41/ */
export interface EngineRequest {
  readonly method: 'GET' | 'POST';
  /** With its query, without an API version. */
  readonly path: string;
  /** A tar to upload. Its errors end the request. */
  readonly body?: Readable;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The answer to a request, once its head has come. For what docker-build asks of the engine in every run: loading dockerode
 * takes 0.1 s and more, which is longer than all of that.
 * @throws Error with the engine's `statusCode` and `json`, as dockerode's, unless the status is 2xx; or the connection's own
 */
export function sendRequest(endpoint: HttpEndpoint, { method, path, body, signal }: EngineRequest): Promise<Readable> {
  return new Promise((resolve, reject) => {
    const request = endpoint.kind === 'tcp' && endpoint.tls !== undefined ? httpsRequest : httpRequest;
    const headers = body ? { 'Content-Type': 'application/x-tar' } : {};
    const options = { ...addressOf(endpoint), method, path, headers, agent: false, ...(signal && { signal }) } as const;
    const sent = request(options, (answer) => {
      const { statusCode = 0 } = answer;
      if (statusCode >= 200 && statusCode < 300) resolve(answer);
      else refusal(answer).then(reject, reject);
    });
    sent.on('error', reject);
    if (body === undefined) sent.end();
    else body.on('error', (error) => sent.destroy(error)).pipe(sent);
  });
}

/** All of an answer. */
export async function textOf(answer: NodeJS.ReadableStream): Promise<string> {
  answer.setEncoding('utf8');
  let text = '';
  for await (const chunk of answer) text += chunk;
  return text;
}

function addressOf(endpoint: HttpEndpoint): RequestOptions {
  if (endpoint.kind === 'socket') return { socketPath: endpoint.path };
  const { hostname, port, tls } = endpoint;
  if (tls === undefined) return { hostname, port };
  const { ca, cert, key, verify } = tls;
  return { hostname, port, ca, cert, key, rejectUnauthorized: verify };
}

async function refusal(answer: IncomingMessage): Promise<Error> {
  const { statusCode } = answer;
  const body = await textOf(answer);
  return Object.assign(new Error(body.trim() || `HTTP ${statusCode}`), { statusCode, json: parse(body) });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
