import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { EngineEndpoint } from './endpoint';

/** An endpoint that plain HTTP reaches. */
type HttpEndpoint = Exclude<EngineEndpoint, { readonly kind: 'ssh' }>;

/**
 * The body of the answer to `GET path`, which must be 200. Only for what every run asks, whether it has anything to do or
 * not: loading dockerode costs more than all that docker-build does where the image is there already.
 * @throws Error with the engine's `statusCode` and `json`, as dockerode's; or the connection's own
 */
export function ask(endpoint: HttpEndpoint, path: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = isTls(endpoint) ? httpsRequest : httpRequest;
    const asked = request({ ...addressOf(endpoint), path, agent: false, ...(signal && { signal }) }, (response) => {
      read(response).then(resolve, reject);
    });
    asked.on('error', reject);
    asked.end();
  });
}

function isTls(endpoint: HttpEndpoint): boolean {
  return endpoint.kind === 'tcp' && endpoint.tls !== undefined;
}

function addressOf(endpoint: HttpEndpoint): RequestOptions {
  if (endpoint.kind === 'socket') return { socketPath: endpoint.path };
  const { hostname, port, tls } = endpoint;
  if (tls === undefined) return { hostname, port };
  const { ca, cert, key, verify } = tls;
  return { hostname, port, ca, cert, key, rejectUnauthorized: verify };
}

async function read(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += chunk;
  const { statusCode } = response;
  if (statusCode === 200) return body;
  throw Object.assign(new Error(body.trim() || `HTTP ${statusCode}`), { statusCode, json: parse(body) });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
