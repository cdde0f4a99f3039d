import { readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import {
  formatFiles,
  type GeneratorCallback,
  generateFiles,
  logger,
  runTasksInSerial,
  type TargetConfiguration,
  type Tree,
  writeJson,
} from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { binaryName } from '../../go/build';
import { runGo } from '../../go/toolchain';
import { initWorkspace } from '../init/generator';
import { checkModulePath, pathElementProblem } from '../module-path';
import {
  baseImage,
  checkDirectory,
  checkFree,
  checkNothingIsOverwritten,
  fromWorkspaceRoot,
  moduleFor,
  projectHead,
  targetName,
  writeModule,
} from '../place';
import { runGenerator } from '../report';
import type { AppOptions } from './schema';

const certificates = 'golang.org/x/crypto/x509roots/fallback';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = AppOptions & Required<Omit<AppOptions, 'name' | 'module' | 'tags'>>;

/**
 * `slim-go:app`: a Go program with test, Dockerfile and .dockerignore; a project.json only where the inferred project
 * does not say everything. Runs `init` first.
 * @throws NAME_INVALID for what Go, Docker, git or Windows can't take, FILE_EXISTS instead of overwriting
 */
export default function app(tree: Tree, options: Options): Promise<GeneratorCallback> {
  return runGenerator(() => createApp(tree, options));
}

async function createApp(tree: Tree, options: Options): Promise<GeneratorCallback> {
  const directory = fromWorkspaceRoot(tree, options.directory);
  checkDirectory(directory, 'program');
  if (options.module !== undefined) checkModulePath(options.module);
  const callbacks = [await initWorkspace(tree, { ...initOptions(tree, options), skipFormat: true })];

  const module = await moduleFor(tree, directory, options.module);
  const binary = binaryName(posix.join(module.path, posix.relative(module.dir, directory)));
  const name = options.name ?? (directory === '.' ? binary : posix.basename(directory));
  checkName(name);
  checkFree(tree, name, directory);

  const isHttp = options.template === 'http';
  const isMultistage = options.dockerfile === 'multistage';
  // A module of a go.work may import any other one of it.
  const inWorkspace = module.isNew && tree.exists('go.work');
  const context = inWorkspace ? '.' : module.dir;
  const hasCertificates = options.certs && options.base === 'scratch';
  if (options.certs && !hasCertificates) logger.info('The alpine base has root certificates: none go into the binary.');

  const folders = [options.template, options.dockerfile].map((folder) => join(__dirname, 'files', folder));
  const projectJson = describeProject({ ...options, name, directory, context, isMultistage, isHttp });
  const generated = folders.flatMap((folder) => readdirSync(folder).map(targetName));
  if (projectJson) generated.push('project.json');
  checkNothingIsOverwritten(
    tree,
    directory,
    generated,
    'Choose another folder. Go programs that exist need no generator: they get their targets as they are.',
  );

  for (const folder of folders) {
    generateFiles(tree, folder, directory, {
      dot: '.',
      binary,
      base: baseImage(options.base),
      port: isHttp ? options.port : undefined,
      healthcheck: isHttp,
      tzdata: options.tzdata,
      certs: hasCertificates,
      goImage: `${module.go.split('.').slice(0, 2).join('.')}-alpine`,
      inWorkspace,
      dockerfile: posix.join(directory, 'Dockerfile'),
      context,
      packagePath: packagePath(context, directory),
    });
  }
  writeModule(tree, directory, module);
  if (projectJson) writeJson(tree, posix.join(directory, 'project.json'), projectJson);
  if (hasCertificates) callbacks.push(() => runGenerator(() => requireCertificates(join(tree.root, module.dir))));
  if (!options.skipFormat) await formatFiles(tree);
  return runTasksInSerial(...callbacks);
}

/** A go.work that exists keeps its layout; `module` names the root module only where this run makes one. */
function initOptions(tree: Tree, { module }: Options): { layout: 'module'; module?: string } {
  return module !== undefined && !tree.exists('go.mod') ? { layout: 'module', module } : { layout: 'module' };
}

/**
 * The name becomes the repository of the image, the binary and the project.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
 * @throws NAME_INVALID
 */
function checkName(name: string): void {
  const problem = /[A-Z]/.test(name)
    ? 'Docker allows no upper case in the name of an image'
    : !/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/.test(name)
      ? 'Docker takes lower-case letters and digits, with single . or _, __ or hyphens between them'
      : pathElementProblem(name);
  if (problem === undefined) return;
  const proposal = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  throw new SlimGoError('NAME_INVALID', `"${name}" can't be the name of a program with an image: ${problem}.`, {
    hint: pathElementProblem(proposal) ? 'Choose another name.' : `"${proposal}" would do.`,
  });
}

function packagePath(from: string, directory: string): string {
  const path = posix.relative(from, directory);
  return path === '' ? '.' : `./${path}`;
}

/** What must be said in project.json because nothing else says it; undefined where the inferred project is complete. */
function describeProject(app: {
  readonly name: string;
  readonly directory: string;
  readonly context: string;
  readonly isMultistage: boolean;
  readonly isHttp: boolean;
  readonly port: number;
  readonly tags?: string;
}): object | undefined {
  const targets: Record<string, TargetConfiguration> = {};
  if (app.isMultistage && app.context !== app.directory) targets.image = { options: { context: app.context } };
  if (app.isHttp) {
    targets['docker-run'] = {
      options: { ports: [`${app.port}:${app.port}`] },
      // Not the port alone: the engine's proxy listens before the program does.
      readyWhen: { url: `http://127.0.0.1:${app.port}/healthz` },
    };
  }
  const head = projectHead(app.name, app.directory, 'application', app.tags);
  const hasTargets = Object.keys(targets).length > 0;
  if (!hasTargets && !head.tags && app.name === posix.basename(app.directory)) return undefined;
  return { ...head, ...(hasTargets && { targets }) };
}

async function requireCertificates(moduleDir: string): Promise<void> {
  const { exitCode, stderr } = await runGo(['get', `${certificates}@latest`], { cwd: moduleDir });
  if (exitCode === 0) return;
  throw new SlimGoError('GO_BUILD_FAILED', `go get ${certificates} failed in ${moduleDir}:\n${stderr.trim()}`, {
    hint: 'The program is complete but for this module; run `go mod tidy` there when the module proxy can be reached.',
  });
}
