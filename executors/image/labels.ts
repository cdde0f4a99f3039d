import { type AskGit, git, webAddress } from '../git';

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
export function imageLabels(
  { title, folder, revision }: ImageLabels,
  ask: AskGit = git,
): Readonly<Record<string, string>> {
  const remote = ask(folder, ['config', '--get', 'remote.origin.url']);
  const source = remote === undefined ? undefined : webAddress(remote);
  const commit = revision ? ask(folder, ['rev-parse', 'HEAD']) : undefined;
  return {
    'org.opencontainers.image.title': title,
    ...(source === undefined ? {} : { 'org.opencontainers.image.source': source }),
    ...(commit === undefined ? {} : { 'org.opencontainers.image.revision': commit }),
  };
}
