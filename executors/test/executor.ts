import { resolve } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { enclosingModule } from '../../go/build';
import { goTest, type TestOutcome, type TestRequest } from '../../go/test';
import { replaceFile } from '../../image/replace-file';
import { programArguments } from '../arguments';
import { WaitingLine } from '../progress-line';
import { currentProject, patternInModule } from '../project';
import { formatDuration } from '../report';
import { batchExecutorOf, executorOf, type Task, type Work } from '../task';
import type { TestOptions } from './schema';
import schema from './schema.json';

/** Options after Nx has filled in the defaults of schema.json. */
type Defaulted = keyof {
  [Name in keyof typeof schema.properties as (typeof schema.properties)[Name] extends { default: unknown }
    ? Name
    : never]: true;
};
type Options = TestOptions & Required<Pick<TestOptions, Defaulted>>;

const optionNames: ReadonlySet<string> = new Set(
  Object.entries(schema.properties).flatMap(([name, property]) =>
    'alias' in property ? [name, property.alias] : name,
  ),
);

/** The tests of each task's project, and the reports that were asked for. */
const runTests: Work<Options> = async (tasks, signal, done) => {
  const owners = new Map<TestRequest, Task<Options>>();
  for (const task of tasks) {
    try {
      owners.set(resolveTest(task), task);
    } catch (error) {
      done(task, error);
    }
  }
  let running = (): string | undefined => undefined;
  const line = new WaitingLine(() => running() ?? 'compiling');
  try {
    const outcomes = await goTest([...owners.keys()], {
      signal,
      onOutput: (request, text) => {
        line.clear();
        owners.get(request)?.print(text);
      },
      onStart: (test) => {
        running = test;
      },
    });
    line.end();
    for (const outcome of outcomes) {
      const task = owners.get(outcome.request)!;
      try {
        for (const { path, text } of outcome.files) await replaceFile(path, (file) => file.writeFile(text), signal);
        if (!outcome.error) task.print(describe(outcome));
        done(task, outcome.error);
      } catch (error) {
        done(task, error);
      }
    }
  } finally {
    line.end();
  }
};

/** `slim-go:test` */
export default executorOf(runTests);

/** `slim-go:test` of many projects in one process. */
export const batch = batchExecutorOf(runTests);

/** @throws OPTION_INVALID, GO_FILE_INVALID */
export function resolveTest({
  options,
  context,
  env,
}: Pick<Task<Options>, 'options' | 'context' | 'env'>): TestRequest {
  const project = currentProject(context);
  refuseCached(options, context);
  const moduleDir = enclosingModule(project.folder).dir;
  const inModule = (pattern: string): string =>
    /^\.\.?(?:\/|$)/.test(pattern) ? patternInModule(moduleDir, project, pattern) : pattern;
  const path = (value: string | undefined): string | undefined =>
    value && resolve(context.root, value.replaceAll('{projectRoot}', project.root));
  const args = [...options.args, ...programArguments(options.__unparsed__, optionNames)];
  return {
    moduleDir,
    packages: options.packages.map(inModule),
    tags: options.buildTags,
    race: options.race,
    short: options.short,
    failFast: options.failFast,
    run: options.run,
    skip: options.skip,
    count: options.count,
    timeout: options.timeout,
    shuffle: typeof options.shuffle === 'boolean' ? (options.shuffle ? 'on' : 'off') : options.shuffle,
    parallel: options.parallel,
    bench: options.bench,
    fuzz: options.fuzz,
    fuzzTime: options.fuzzTime,
    cover: options.cover,
    coverMode: options.coverMode,
    coverPkg: options.coverPkg.map(inModule),
    coverThreshold: options.coverThreshold,
    reports: {
      coverProfile: path(options.coverProfile),
      html: path(options.coverHtml),
      lcov: path(options.coverLcov),
      junit: path(options.junit),
    },
    lcovRoot: context.root,
    verbose: options.verbose || args.includes('-v'),
    processEnv: env,
    env: options.env,
    args,
  };
}

/** A result that is measured or searched for anew each time must not come out of a cache. */
function refuseCached(options: Options, context: ExecutorContext): void {
  const asked = (['bench', 'fuzz'] as const).find((name) => options[name] !== undefined);
  const { project, target } = { project: context.projectName, target: context.targetName ?? '' };
  const { targets } = context.projectsConfigurations.projects[project ?? ''] ?? {};
  if (asked === undefined || targets?.[target]?.cache !== true) return;
  throw new SlimGoError(
    'OPTION_INVALID',
    `${asked}: the target ${project}:${target} is cached, and would show old results the next time.`,
    { hint: `Run the target \`${asked}\`, or one of your own with "executor": "slim-go:test" and without a cache.` },
  );
}

/** The last line of a success: `14 tests passed, 1 skipped, in 3 packages  coverage: 81.2% of statements  1.2 s`. */
function describe({ packages, coverage, durationMs }: TestOutcome): string {
  const count = (verdict: string): number =>
    packages.flatMap(({ tests }) => tests).filter((one) => one.verdict === verdict).length;
  const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const skipped = count('skip');
  return [
    `${plural(count('pass'), 'test')} passed${skipped > 0 ? `, ${skipped} skipped,` : ''} in ${plural(packages.length, 'package')}`,
    ...(coverage === undefined ? [] : [`coverage: ${coverage.toFixed(1)}% of statements`]),
    `${formatDuration(durationMs)}\n`,
  ].join('  ');
}
