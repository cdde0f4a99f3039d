import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { findCredentials } from './credentials';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'slim-go-credentials-'));
  mkdirSync(join(home, '.docker'));
});
afterEach(() => rmSync(home, { recursive: true }));

const config = (value: unknown) =>
  writeFileSync(join(home, '.docker', 'config.json'), typeof value === 'string' ? value : JSON.stringify(value));
const find = (domain: string, env: NodeJS.ProcessEnv = {}) => findCredentials(domain, { env, home });
const base64 = (text: string) => Buffer.from(text).toString('base64');
const password = (username: string, secret: string) => ({ kind: 'password', username, password: secret });

it('reads what docker login wrote', async () => {
  config({
    auths: {
      'ghcr.io': { auth: base64('me:p+/=ä:x') },
      'https://index.docker.io/v1/': { auth: base64('hub:h') },
      'https://quay.io/v2/': { username: 'u', password: 'p' },
      'azurecr.io': { auth: base64('00000000:'), identitytoken: 'refresh' },
      'r.example:5000': { registrytoken: 'bearer' },
      'empty.example': {},
    },
  });
  expect(await find('ghcr.io')).toEqual(password('me', 'p+/=ä:x'));
  expect(await find('docker.io')).toEqual(password('hub', 'h'));
  expect(await find('quay.io')).toEqual(password('u', 'p'));
  expect(await find('azurecr.io')).toEqual({ kind: 'identityToken', token: 'refresh' });
  expect(await find('r.example:5000')).toEqual({ kind: 'registryToken', token: 'bearer' });
  for (const domain of ['empty.example', 'r.example', 'other.example']) expect(await find(domain)).toBeUndefined();
});

it('takes the environment first, then config.json, then podman', async () => {
  const of = (name: string) => JSON.stringify({ auths: { 'ghcr.io': { auth: base64(`${name}:x`) } } });
  const podman = join(home, 'auth.json');
  writeFileSync(podman, of('podman'));
  expect(await find('ghcr.io', { REGISTRY_AUTH_FILE: podman })).toEqual(password('podman', 'x'));
  config(of('docker'));
  expect(await find('ghcr.io', { REGISTRY_AUTH_FILE: podman })).toEqual(password('docker', 'x'));
  const env = { REGISTRY_AUTH_FILE: podman, DOCKER_AUTH_CONFIG: of('ci') };
  expect(await find('ghcr.io', env)).toEqual(password('ci', 'x'));
  expect(await find('ghcr.io', { DOCKER_CONFIG: join(home, 'none') })).toBeUndefined();
});

describe('a credential helper', () => {
  const helper = (name: string, script: string) => {
    const file = join(home, `docker-credential-${name}`);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  };
  const withHelpers = (domain: string) => find(domain, { PATH: `${home}${delimiter}${process.env.PATH}` });

  it('is asked for its registry, and the store for the others', async () => {
    helper('one', 'read key; [ "$1" = get ] && printf \'{"Username":"%s","Secret":"s+/=ä"}\' "$key"');
    helper('all', 'read key; printf \'{"Username":"<token>","Secret":"of %s"}\' "$key"');
    config({ credsStore: 'all', credHelpers: { 'ghcr.io': 'one' } });
    expect(await withHelpers('ghcr.io')).toEqual(password('ghcr.io', 's+/=ä'));
    expect(await withHelpers('quay.io')).toEqual({ kind: 'identityToken', token: 'of quay.io' });
    expect(await withHelpers('docker.io')).toEqual({ kind: 'identityToken', token: 'of https://index.docker.io/v1/' });
  });

  it('may have none: then a plain entry counts', async () => {
    helper('none', 'echo "credentials not found in native keychain"; exit 1');
    config({ credsStore: 'none', auths: { 'ghcr.io': { auth: base64('me:x') } } });
    expect(await withHelpers('ghcr.io')).toEqual(password('me', 'x'));
    expect(await withHelpers('quay.io')).toBeUndefined();
  });

  it.each([
    ['is missing', undefined, /docker-credential-bad gives no credentials for ghcr\.io: it is not on the PATH/],
    ['fails', 'echo locked >&2; exit 3', /it ended with 3: locked/],
    ['answers nonsense', 'echo secret', /its answer is no JSON/],
  ])('that %s is named', async (_what, script, message) => {
    if (script !== undefined) helper('bad', script);
    config({ credHelpers: { 'ghcr.io': 'bad' } });
    await expect(withHelpers('ghcr.io')).rejects.toMatchObject({
      code: 'CREDENTIALS_FAILED',
      message: expect.stringMatching(message),
    });
  });
});

it.each(['{"auths": {"ghcr.io": {"auth": "c2VjcmV0', { auths: { 'ghcr.io': { auth: base64('secret') } } }])(
  'says of a broken file where it is, and none of what is in it',
  async (text) => {
    config(text);
    const error = await find('ghcr.io').catch((error) => error);
    expect(error).toMatchObject({ code: 'CREDENTIALS_FAILED', message: expect.stringContaining('config.json') });
    expect(`${error.message} ${error.hint} ${error.cause}`).not.toMatch(/secret|c2Vjcm/);
  },
);
