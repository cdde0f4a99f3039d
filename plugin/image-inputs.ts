import { isWithin } from '../go/packages';
import { IgnorePatterns } from '../image/dockerfile/patterns';
import { globLiteral, pathPattern } from './inputs';

/**
 * Filesets for what COPY and ADD read from the build context, less what .dockerignore hides. `.dockerignore` is ordered
 * and Nx's filesets are not (one that takes away wins over all that add): where the two can't agree, more is an input,
 * never less.
 * @param context folder of the build context, '' for the workspace root
 * @param sources as `describeDockerfile` gives them
 * @param ignore text of the .dockerignore in force
 * @param always what stays an input although it is hidden from COPY: the Dockerfile and the .dockerignore, relative to
 *   the context
 */
export function contextInputs(
  context: string,
  sources: readonly string[],
  ignore: string | undefined,
  always: readonly string[],
): string[] {
  const inContext = (pattern: string) =>
    `{workspaceRoot}/${context === '' ? '' : `${globLiteral(context)}/`}${pattern}`;
  const below = (pattern: string) => (pattern === '.' ? ['**/*'] : [pattern, `${pattern}/**/*`]);
  const rules = ignoreRules(ignore ?? '');
  const lastException = rules.findLastIndex(({ exception }) => exception);
  const all = rules.findLastIndex(({ exception, pattern }) => !exception && /^(\*|\*\*|\*\*\/\*)$/.test(pattern));
  const exceptions = rules.slice(all + 1).filter(({ exception }) => exception);
  const hidden = rules
    .slice(lastException + 1)
    .filter(({ exception, pattern }) => !exception && isExact(pattern) && !hides(pattern, always))
    .flatMap(({ pattern }) => below(pattern).map((path) => `!${inContext(path)}`));
  const shown = sources
    .filter((source) => !/^(https?|git|ssh):\/\/|^git@/.test(source))
    // An allow-list names the files itself, and says it better than a source that takes a whole folder.
    .flatMap((source) =>
      source === '.' && all >= 0
        ? exceptions.flatMap(({ pattern }) => below(pathPattern(pattern)))
        : below(pathPattern(source)),
    );
  return [...new Set([...shown.map(inContext), ...hidden])];
}

/** Whether Nx reads the pattern as Docker does: what matches more than it should must not take inputs away. */
function isExact(pattern: string): boolean {
  return pathPattern(pattern) === pattern;
}

function hides(pattern: string, files: readonly string[]): boolean {
  const rule = IgnorePatterns.parse(pattern);
  return files.some((file) => rule.decidedBy(file) !== undefined);
}

function ignoreRules(text: string): { readonly exception: boolean; readonly pattern: string }[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => (line.startsWith('#') ? '' : line.trim()))
    .filter((line) => line !== '')
    .map((line) => ({
      exception: line.startsWith('!'),
      pattern: line.replace(/^!/, '').trim().replace(/^\/+/, '').replace(/\/+$/, ''),
    }))
    .filter(({ pattern }) => pattern !== '' && pattern !== '.');
}

/** Whether a source of COPY can name something in `folder` (relative to the context), and whether it says so itself. */
export function readsFolder(source: string, folder: string): 'named' | 'covered' | 'no' {
  if (isWithin(source, folder)) return 'named';
  if (source === '.' || isWithin(folder, source)) return 'covered';
  // A wildcard in front: `*/linux/x` or `**`.
  const [first] = source.split('/');
  return first !== undefined && /[*?[]/.test(first) ? 'covered' : 'no';
}
