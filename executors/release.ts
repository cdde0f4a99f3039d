import { SlimGoError } from '../errors';
import { type AskGit, git } from './git';

/** What git says of a project's sources, for programs and images that tell it. The same commit says the same everywhere. */
export interface Release {
  /**
   * Of the commit's git tag (`hello/v1.2.3`, otherwise `v1.2.3`) `1.2.3`; between two tags what `git describe` says, without
   * any the short commit. `-dirty` at its end where the sources are not those of the commit.
   */
  readonly version: string;
  readonly commit: string;
  /** The commit's, unless SOURCE_DATE_EPOCH says another: `2026-11-25T10:00:00Z`. */
  readonly date: string;
}

export interface ReleaseSource {
  /** Of the project: a git tag `hello/v1.2.3` is a version of hello alone. */
  readonly project: string;
  /** The workspace's, which git is asked in. */
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Undefined where there is no commit.
 * @throws OPTION_INVALID for a SOURCE_DATE_EPOCH that is no number
 */
export function releaseOf({ project, folder, env }: ReleaseSource, ask: AskGit = git): Release | undefined {
  const commit = ask(folder, ['rev-parse', 'HEAD']);
  const state = ask(folder, ['describe', '--always', '--abbrev=7', '--dirty', '--exclude=*']);
  if (commit === undefined || state === undefined) return undefined;
  const described = [`${project}/v*`, 'v[0-9]*']
    .map((pattern) => ask(folder, ['describe', '--tags', '--abbrev=7', '--match', pattern])?.replace(/^.*\//, ''))
    .find((found) => found !== undefined);
  const version = versionAt(folder, project, ask)?.text ?? described?.replace(/^v/, '');
  const seconds = sourceDateEpoch(env.SOURCE_DATE_EPOCH) ?? Number(ask(folder, ['log', '-1', '--format=%ct']));
  return {
    version: version === undefined ? state : `${version}${state.endsWith('-dirty') ? '-dirty' : ''}`,
    commit,
    date: new Date(seconds * 1000).toISOString().replace('.000Z', 'Z'),
  };
}

/** The tags of the commit, the highest version first. */
export function gitTags(folder: string, ask: AskGit = git): readonly string[] {
  return ask(folder, ['tag', '--points-at', 'HEAD', '--sort=-version:refname'])?.split('\n') ?? [];
}

/** Of `hello/v1.2.3`, otherwise of `v1.2.3` or `1.2.3`. https://semver.org */
export function versionAt(folder: string, project: string, ask: AskGit = git) {
  const tags = gitTags(folder, ask);
  const prefix = `${project}/`;
  const own = tags.filter((tag) => tag.startsWith(prefix)).map((tag) => tag.slice(prefix.length));
  for (const tag of [...own, ...tags]) {
    const [, text, major, minor, patch, prerelease] =
      /^v?((\d+)\.(\d+)\.(\d+)(-[\w.-]+)?(?:\+[\w.-]+)?)$/.exec(tag) ?? [];
    if (text !== undefined) return { text, major, minor, patch, prerelease };
  }
  return undefined;
}

/**
 * Seconds since 1970, where the environment names them.
 * https://reproducible-builds.org/specs/source-date-epoch/
 * @throws OPTION_INVALID
 */
export function sourceDateEpoch(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new SlimGoError('OPTION_INVALID', `SOURCE_DATE_EPOCH "${text}" is no number of seconds since 1970.`, {
    hint: 'Unset it, or set it to for example `git log -1 --format=%ct`.',
  });
}
