import { join, posix, relative, sep } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { lintConfigs } from '../go/lint-config';
import { inFolder, prefixes, versionFiles } from '../go/packages';
import { hostInputs, packagePatterns } from './go-targets';
import { globLiteral, type Input, inFolders, wholeFiles } from './inputs';
import type { GoProject } from './projects';
import { type Options, statedOptions, statedOutputs, strings, type TargetSources, type Targets } from './sources';

/** Targets about the sources themselves: what looks at them, and what writes them. */
export function sourceTargets(project: GoProject, sources: TargetSources): Targets {
  return {
    ...lintTarget(project, sources),
    ...formatTarget(project, sources),
    ...(project.speaksForModule ? tidyTarget(project, sources) : {}),
    ...(hasGenerate(project, sources) ? generateTarget(project, sources) : {}),
    ...vulnTarget(project, sources),
  };
}

function lintTarget(project: GoProject, sources: TargetSources): Targets {
  const name = sources.options.lintTargetName ?? 'lint';
  const stated = statedOptions(project, sources, name, 'slim-go:lint');
  const target = sourceTarget(project, name, 'lint', {
    description: 'Looks for mistakes with the configured linter, otherwise with go vet and gofmt',
    example: { options: { linter: 'golangci-lint', args: ['--timeout=5m'] } },
  });
  const inputs = [
    ...hostInputs(project, sources, { tags: strings(stated.buildTags), tests: true }),
    ...configInputs(project, stated),
    ...linterInputs(project, sources, stated),
  ];
  return { [name]: { ...target, cache: true, inputs } };
}

/** Each file that may be a linter's configuration, whether it is there yet or not: those of a package's folder count too. */
function configInputs(project: GoProject, stated: Options): Input[] {
  const folders = [...new Set([project.root, ...project.packages].flatMap((dir) => [...prefixes(dir), '']))];
  const config =
    typeof stated.config === 'string' ? [`{workspaceRoot}/${globLiteral(posix.normalize(stated.config))}`] : [];
  return [...inFolders(folders, `{${Object.values(lintConfigs).flat().join(',')}}`), ...config];
}

/** The linter's own version: from go.mod where it is a tool there, otherwise the linter says it. */
function linterInputs(project: GoProject, sources: TargetSources, stated: Options): Input[] {
  const folders = [...prefixes(project.root), ''];
  const isConfigured = (linter: keyof typeof lintConfigs): boolean =>
    lintConfigs[linter].some((file) => folders.some((dir) => sources.readText(inFolder(dir, file)) !== undefined));
  const isAuto = stated.linter === undefined || stated.linter === 'auto';
  if (stated.linter === 'golangci-lint' || (isAuto && (stated.config !== undefined || isConfigured('golangci-lint'))))
    return toolInputs(project, sources, 'golangci-lint', 'golangci-lint version');
  if (stated.linter === 'staticcheck' || (isAuto && isConfigured('staticcheck')))
    return toolInputs(project, sources, 'staticcheck', 'staticcheck -debug.version');
  return [];
}

function toolInputs(project: GoProject, sources: TargetSources, name: string, versionCommand: string): Input[] {
  return moduleTool(project, sources, name) ?? [{ runtime: `${versionCommand} || echo no ${name}` }];
}

/** What says the version of a tool that a `tool` line of go.mod names; undefined where none does. */
function moduleTool(project: GoProject, { tree }: TargetSources, name: string): Input[] | undefined {
  const context = tree.context(project.module);
  const isNamed = context.mains.some(({ file }) => file.tools.some((path) => path.endsWith(`/${name}`)));
  return isNamed ? wholeFiles(versionFiles(context)) : undefined;
}

function formatTarget(project: GoProject, { options }: TargetSources): Targets {
  const name = options.formatTargetName ?? 'format';
  const target = sourceTarget(project, name, 'format', {
    description: 'Formats the Go files; with --check it only says which',
    example: { args: ['--check'] },
  });
  return { [name]: { ...target, cache: false } };
}

function tidyTarget(project: GoProject, { options }: TargetSources): Targets {
  const name = options.tidyTargetName ?? 'tidy';
  const { options: _, ...target } = sourceTarget(project, name, 'tidy', {
    description: 'Brings go.mod and go.sum up to date; with --check it only says whether they are',
    example: { args: ['--check'] },
  });
  return { [name]: { ...target, cache: false } };
}

function hasGenerate(project: GoProject, { tree }: TargetSources): boolean {
  return project.packages.some((dir) => tree.package(dir)?.files.some(({ header }) => header?.generates));
}

/** Nx can only restore what is declared: without outputs it is not cached. */
function generateTarget(project: GoProject, sources: TargetSources): Targets {
  const name = sources.options.generateTargetName ?? 'generate';
  const target = sourceTarget(project, name, 'generate', {
    description: 'Runs the //go:generate lines; cached where outputs are declared',
    example: { outputs: ['{projectRoot}/*_string.go'] },
  });
  const outputs = statedOutputs(project, sources, name, 'slim-go:generate');
  if (outputs.length === 0) return { [name]: { ...target, cache: false } };
  return { [name]: { ...target, cache: true, inputs: generateInputs(project, sources, name, outputs) } };
}

/** A generator may read all of its project, and be any Go of the repository; what it writes is no input. */
function generateInputs(project: GoProject, sources: TargetSources, name: string, outputs: readonly string[]): Input[] {
  const stated = statedOptions(project, sources, name, 'slim-go:generate');
  const { modules } = sources.tree.context(project.module);
  const dirs = modules.map(({ dir }) => dir);
  const written = outputs
    .filter((output) => !output.includes('{options.'))
    .map((output) => output.replace('{projectRoot}', inFolder('{workspaceRoot}', globLiteral(project.root))));
  return [
    ...inFolders([project.root], '**/*'),
    ...inFolders(dirs, '**/*.go'),
    ...hostInputs(project, sources, { tags: strings(stated.buildTags), tests: true }),
    ...wholeFiles(versionFiles(sources.tree.context(project.module))),
    ...written.flatMap((output) => [`!${output}`, `!${output}/**/*`]),
  ];
}

function vulnTarget(project: GoProject, sources: TargetSources): Targets {
  const name = sources.options.vulnTargetName ?? 'vuln';
  const stated = statedOptions(project, sources, name, 'slim-go:vuln');
  const target = sourceTarget(project, name, 'vuln', {
    description: 'Looks for known vulnerabilities that the code can reach',
    example: { options: { db: 'https://vuln.go.dev' } },
  });
  const database = typeof stated.db === 'string' ? stated.db : undefined;
  // It becomes part of a command line.
  if (database !== undefined && !/^[\w:/.@~+-]+$/.test(database)) return { [name]: { ...target, cache: false } };
  const program = relative(sources.workspaceRoot, join(__dirname, '..', 'go', 'vuln-database.js'))
    .split(sep)
    .join('/');
  const inputs: Input[] = [
    ...hostInputs(project, sources, { tags: strings(stated.buildTags), tests: stated.tests === true }),
    ...(moduleTool(project, sources, 'govulncheck') ?? []),
    { runtime: `node "${program}"${database === undefined ? '' : ` ${database}`}` },
    ...(database === undefined || database.includes('://')
      ? []
      : [`{workspaceRoot}/${posix.normalize(database)}/**/*`]),
    { env: 'GOVULNDB' },
  ];
  return { [name]: { ...target, cache: true, inputs } };
}

/** What a target of an executor has in any case. */
function sourceTarget(
  project: GoProject,
  name: string,
  executor: string,
  { description, example }: { readonly description: string; readonly example: object },
): TargetConfiguration {
  const packages = packagePatterns(project);
  return {
    executor: `slim-go:${executor}`,
    ...(packages.join() === './...' ? {} : { options: { packages } }),
    metadata: {
      technologies: ['go'],
      description,
      help: { command: `npx nx run ${project.name}:${name} --help`, example },
    },
  };
}
