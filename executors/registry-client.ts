import { homedir } from 'node:os';
import { RegistryClient } from '../registry/client';
import { findCredentials } from '../registry/credentials';

/** A registry, asked as this user. */
export function registryClient(
  domain: string,
  purpose: 'push' | 'pull',
  plainHttp: boolean,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): RegistryClient {
  const credentials = () => findCredentials(domain, { env, home: homedir() });
  return new RegistryClient({ domain, credentials, plainHttp, purpose, signal });
}
