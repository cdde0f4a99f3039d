import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { type ClosureRequest, closureOf } from '../go/closure';
import { inFolder, isWithin } from '../go/packages';
import { hostPlatform } from '../platform';
import type { BuildPlan } from './build-target';
import { compileInputs, type Input, moduleInputs, testFileInputs } from './inputs';
import { knownDeps, staysOutside } from './known-deps';
import type { GoProject } from './projects';
import { statedOptions, strings, type TargetSources, type Targets } from './sources';

/** Targets of the go command itself. */
export function commandTargets(project: GoProject, sources: TargetSources): Targets {
  const { tree, options } = sources;
  const hasTests = project.packages.some((dir) => tree.package(dir)?.files.some(({ isTest }) => isTest));
  if (!hasTests) return {};
  const tags = strings(statedOptions(project, sources, options.testTargetName ?? 'test', 'slim-go:test').buildTags);
  const inputs = [...testFileInputs(project.packages), ...hostInputs(project, sources, { tags, tests: true })];
  return testTargets(project, inputs, sources);
}

/** Inputs of what compiles the project's packages for this machine, or looks at them as if it did. */
export function hostInputs(
  project: GoProject,
  sources: TargetSources,
  { tags, tests }: Pick<ClosureRequest, 'tags' | 'tests'>,
): Input[] {
  const platforms = [hostPlatform()];
  const closure = closureOf(sources.tree, {
    dirs: project.packages,
    module: project.module,
    platforms,
    cgo: undefined,
    tags,
    tests,
    staysOutside: staysOutside(project.module, sources),
  });
  return [
    ...compileInputs(closure, {
      modules: moduleInputs(closure, knownDeps(project.module, sources)),
      platforms,
      tests,
      cgo: true,
      dottedNames: false,
    }),
    { env: 'GOOS' },
    // A test runs here, and vet looks at the files of this platform.
    { runtime: 'go env GOHOSTOS GOHOSTARCH || echo no go' },
  ];
}

function testTargets(project: GoProject, inputs: Input[], { tree, options }: TargetSources): Targets {
  const packages = packagePatterns(project);
  const has = (what: 'benchmarks' | 'fuzzes') =>
    project.packages.some((dir) => tree.package(dir)?.files.some(({ header }) => header?.[what]));
  const target = (description: string, given: object, rest: Partial<TargetConfiguration>): TargetConfiguration => ({
    executor: 'slim-go:test',
    options: { ...(packages.join() === './...' ? {} : { packages }), ...given },
    ...rest,
    metadata: {
      technologies: ['go'],
      description,
      help: { command: 'go help testflag', example: { options: { race: true, run: 'TestParse' } } },
    },
  });
  return {
    [options.testTargetName ?? 'test']: target(
      'Runs the tests',
      {},
      {
        cache: true,
        inputs,
        // Nx leaves out those whose option is not set.
        outputs: ['coverProfile', 'coverHtml', 'coverLcov', 'junit'].map((option) => `{options.${option}}`),
      },
    ),
    // Not cached: what is measured, or searched for at random, is not the same the next time.
    ...(has('benchmarks') && {
      [options.benchTargetName ?? 'bench']: target('Runs the benchmarks', { run: '^$', bench: '.' }, { cache: false }),
    }),
    ...(has('fuzzes') && {
      [options.fuzzTargetName ?? 'fuzz']: target(
        'Runs a fuzz test for half a minute',
        { run: '^$', fuzz: '.', fuzzTime: '30s' },
        { cache: false },
      ),
    }),
  };
}

/** Runs the program of the `build` target. */
export function serveTarget(project: GoProject, build: BuildPlan, { options }: TargetSources): Targets {
  const name = options.serveTargetName ?? 'serve';
  return {
    [name]: {
      executor: 'slim-go:serve',
      cache: false,
      continuous: true,
      options: build.name === 'build' ? {} : { buildTarget: build.name },
      metadata: {
        technologies: ['go'],
        description:
          'Runs the program, built anew when its sources change; what follows the target goes to the program',
        help: {
          command: `npx nx run ${project.name}:${name} --help`,
          example: { options: { env: { PORT: '8080' }, envFile: '{projectRoot}/dev.env' } },
        },
      },
    },
  };
}

/** The project's packages for the go command, from its root: `./...` where nobody else's lie below. */
export function packagePatterns(project: GoProject): string[] {
  const free = (dir: string) => !project.foreign.some((other) => isWithin(other, dir));
  const patterns = project.packages.map((dir) => {
    const parts = posix
      .relative(project.root, dir)
      .split('/')
      .filter((part) => part !== '');
    for (let length = 0; length <= parts.length; length++) {
      const ancestor = parts.slice(0, length).join('/');
      if (free(inFolder(project.root, ancestor))) return ancestor === '' ? './...' : `./${ancestor}/...`;
    }
    return parts.length === 0 ? '.' : `./${parts.join('/')}`;
  });
  return [...new Set(patterns)];
}
