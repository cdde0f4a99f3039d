import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SlimGoError } from '../errors';

/** Who asks a registry. A secret is never part of a message. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, which the registry's token service takes. */
  | { readonly kind: 'identityToken'; readonly token: string }
  /** A bearer token, sent as it is. */
  | { readonly kind: 'registryToken'; readonly token: string };

/** What is outside this process and decides about credentials. */
export interface CredentialSurroundings {
  readonly env: NodeJS.ProcessEnv;
  /** The user's home folder. */
  readonly home: string;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/** https://github.com/docker/cli/blob/v28.0.0/cli/config/configfile/file.go */
interface DockerConfig {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

/**
 * The credentials for a registry, as `docker login` or `podman login` left them: DOCKER_AUTH_CONFIG (the text of a
 * config.json, as CI systems give it), then config.json in DOCKER_CONFIG or ~/.docker with its helpers, then podman's
 * auth.json (REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR). Undefined: nobody logged in.
 * @param domain as a reference names it: `docker.io`, `ghcr.io`, `localhost:5000`
 * @throws CREDENTIALS_FAILED for a broken file, and a helper that is missing or fails
 */
export async function findCredentials(
  domain: string,
  { env, home }: CredentialSurroundings,
): Promise<Credentials | undefined> {
  const sources: readonly (readonly [name: string, text: string | undefined])[] = [
    ['DOCKER_AUTH_CONFIG', env.DOCKER_AUTH_CONFIG || undefined],
    ...[
      join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json'),
      env.REGISTRY_AUTH_FILE,
      env.XDG_RUNTIME_DIR && join(env.XDG_RUNTIME_DIR, 'containers', 'auth.json'),
    ].flatMap((file) => (file ? [[file, readText(file)] as const] : [])),
  ];
  for (const [name, text] of sources) {
    const found = text === undefined ? undefined : await fromConfig(parseConfig(name, text), domain, name, env);
    if (found) return found;
  }
  return undefined;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function parseConfig(name: string, text: string): DockerConfig {
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === 'object' && config !== null) return config;
  } catch {
    // The parser's own words would quote the text, and with it a secret.
  }
  throw new SlimGoError('CREDENTIALS_FAILED', `${name} holds no JSON object.`, {
    hint: 'It is what `docker login` writes: {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"}}}.',
  });
}

async function fromConfig(
  config: DockerConfig,
  domain: string,
  source: string,
  env: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  const keys = keysOf(domain);
  const ofDomain = keys.map((key) => config.credHelpers?.[key]).find((name) => name !== undefined);
  const helper = ofDomain ?? config.credsStore;
  if (helper) {
    for (const key of keys) {
      const found = await askHelper(helper, key, env);
      if (found) return found;
    }
  }
  const entry = Object.entries(config.auths ?? {}).find(([key]) => keys.includes(hostOf(key)))?.[1];
  return entry && fromEntry(entry, `${source}, ${domain}`);
}

/** Docker Hub goes by several names. */
function keysOf(domain: string): readonly string[] {
  return domain === 'docker.io'
    ? ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io']
    : [domain];
}

/** `https://ghcr.io/v2/` is ghcr.io. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function fromEntry(entry: AuthEntry, where: string): Credentials | undefined {
  if (entry.registrytoken) return { kind: 'registryToken', token: entry.registrytoken };
  if (entry.identitytoken) return { kind: 'identityToken', token: entry.identitytoken };
  if (entry.auth) {
    const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon < 0) {
      throw new SlimGoError('CREDENTIALS_FAILED', `${where}: "auth" is not the base64 of user:password.`, {
        hint: 'Run `docker login` again.',
      });
    }
    return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  if (entry.username === undefined || entry.password === undefined) return undefined;
  return { kind: 'password', username: entry.username, password: entry.password };
}

/** https://github.com/docker/docker-credential-helpers#development */
async function askHelper(name: string, key: string, env: NodeJS.ProcessEnv): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const failed = (what: string): SlimGoError =>
    new SlimGoError('CREDENTIALS_FAILED', `${program} gives no credentials for ${key}: ${what}.`, {
      hint: 'It is named by "credsStore" or "credHelpers" of the Docker configuration; `docker login` uses it too.',
    });
  const { code, stdout, stderr } = await run(program, key, env).catch((error: NodeJS.ErrnoException) => {
    throw failed(error.code === 'ENOENT' ? 'it is not on the PATH' : String(error.code));
  });
  // That there are none is said on standard output: https://github.com/docker/docker-credential-helpers/blob/v0.9.0/credentials/error.go
  if (/credentials not found/i.test(stdout + stderr)) return undefined;
  if (code !== 0) throw failed(`it ended with ${code}: ${stderr.trim().split('\n')[0]}`);
  let answer: { readonly Username?: string; readonly Secret?: string };
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw failed('its answer is no JSON');
  }
  const { Username: username = '', Secret: password = '' } = answer;
  if (username === '<token>') return { kind: 'identityToken', token: password };
  return { kind: 'password', username, password };
}

function run(
  program: string,
  input: string,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    // Who never reads closes early; what it says otherwise tells why.
    child.stdin.on('error', () => undefined);
    child.on('error', reject).on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}
