import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { closureOf } from '../go/closure';
import { inFolder, isWithin } from '../go/packages';
import { hostPlatform } from '../platform';
import { compileInputs, moduleInputs, testFileInputs } from './inputs';
import { knownDeps, staysOutside } from './known-deps';
import type { GoProject } from './projects';
import type { TargetSources, Targets } from './sources';

/** Targets that run the go command as it is. */
export function commandTargets(project: GoProject, sources: TargetSources): Targets {
  const { tree, options } = sources;
  const patterns = packagePatterns(project).join(' ');
  const platforms = [hostPlatform()];
  const closure = closureOf(tree, {
    dirs: project.packages,
    module: project.module,
    platforms,
    cgo: undefined,
    tags: [],
    tests: true,
    staysOutside: staysOutside(project.module, sources),
  });
  const inputs = [
    ...testFileInputs(project.packages),
    ...compileInputs(closure, {
      modules: moduleInputs(closure, knownDeps(project.module, sources)),
      platforms,
      tests: true,
      cgo: true,
      dottedNames: false,
    }),
    { env: 'GOOS' },
    // A test runs here, and vet looks at the files of this platform.
    { runtime: 'go env GOHOSTOS GOHOSTARCH || echo no go' },
  ];
  const command = (name: string, line: string, description: string, rest: Partial<TargetConfiguration>) => ({
    [name]: {
      command: line,
      options: { cwd: '{projectRoot}' },
      ...rest,
      metadata: {
        technologies: ['go'],
        description,
        help: { command: line.split(' ').slice(0, 2).join(' ').replace('go ', 'go help '), example: {} },
      },
    },
  });
  const hasTests = project.packages.some((dir) => tree.package(dir)?.files.some(({ isTest }) => isTest));
  return {
    ...(hasTests
      ? command(options.testTargetName ?? 'test', `go test ${patterns}`, 'Runs the tests', { cache: true, inputs })
      : {}),
    ...command(options.lintTargetName ?? 'lint', `go vet ${patterns}`, 'Looks for mistakes with go vet', {
      cache: true,
      inputs,
    }),
    ...command(options.formatTargetName ?? 'format', `go fmt ${patterns}`, 'Formats the sources', { cache: false }),
    ...(project.root === project.module.dir
      ? command(options.tidyTargetName ?? 'tidy', 'go mod tidy', 'Brings go.mod and go.sum up to date', {
          cache: false,
        })
      : {}),
  };
}

/** The project's packages for the go command, from its root: `./...` where nobody else's lie below. */
function packagePatterns(project: GoProject): string[] {
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
