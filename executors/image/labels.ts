import { git } from '../git';

/** The labels that every image gets unless the user or the Dockerfile sets them. */
export interface ImageLabels {
  readonly title: string;
  /** The workspace's folder, which git is asked in. */
  readonly folder: string;
  /** Whether the commit is told: an image that tells it is another one after every commit. */
  readonly revision: boolean;
}

/**
 * `org.opencontainers.image.title`, `source` (the git remote `origin` as a web address, where there is one) and, where
 * asked for, `revision`.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md#pre-defined-annotation-keys
 */
export function imageLabels({ title, folder, revision }: ImageLabels): Readonly<Record<string, string>> {
  const remote = git(folder, ['config', '--get', 'remote.origin.url']);
  const source = remote === undefined ? undefined : webAddress(remote);
  const commit = revision ? git(folder, ['rev-parse', 'HEAD']) : undefined;
  return {
    'org.opencontainers.image.title': title,
    ...(source === undefined ? {} : { 'org.opencontainers.image.source': source }),
    ...(commit === undefined ? {} : { 'org.opencontainers.image.revision': commit }),
  };
}

/**
 * `git@github.com:acme/mono.git` and `https://token@github.com/acme/mono` -> `https://github.com/acme/mono`, so that how
 * somebody cloned the repository changes no image and no credential gets into one. Undefined for a local path.
 */
export function webAddress(remote: string): string | undefined {
  const scp = /^(?:[^@/\s]+@)?([\w.-]+\.[\w.-]+):(?!\/\/)\/?(.+)$/.exec(remote);
  const url = /^(?:https?|ssh|git):\/\/(?:[^@/]*@)?([^/:]+)(?::(\d+))?\/(.+)$/.exec(remote);
  const [, host, port, path] = scp ? [scp[0], scp[1], undefined, scp[2]] : (url ?? []);
  if (host === undefined || path === undefined) return undefined;
  const keptPort = port !== undefined && /^https?:/.test(remote) ? `:${port}` : '';
  return `https://${host}${keptPort}/${path.replace(/\/+$/, '').replace(/\.git$/, '')}`;
}
