import { readNxJson, type Tree, visitNotIgnoredFiles } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { scanGoFile } from '../../go/scan';
import { describeDockerfile } from '../../image/dockerfile/describe';
import { readWorkspace } from '../../plugin';
import { buildTarget } from '../../plugin/build-target';

/** So many programs or Dockerfiles are named; of more the number is. */
const named = 8;

/** The sources and Dockerfiles of a workspace; none where there is no Go. */
export function goFiles(tree: Tree): readonly string[] {
  const files: string[] = [];
  visitNotIgnoredFiles(tree, '.', (path) => {
    const file = path.replaceAll('\\', '/');
    if (/(?:^|\/)(?:testdata|node_modules|[_.][^/]*)\//.test(file)) return;
    if (/\.go$|(?:^|\/)(?:go\.(?:mod|work)|modules\.txt|(?:project|package)\.json)$/.test(file) || isDockerfile(file)) {
      files.push(file);
    }
  });
  return files.some((file) => file.endsWith('.go')) ? files : [];
}

function isDockerfile(file: string): boolean {
  return /(?:^|\/)(?:Dockerfile(?:\.[^/]*)?|[^/]*\.[Dd]ockerfile)$/.test(file) && !file.endsWith('.dockerignore');
}

/** For people: what slim-go makes of the Go that is there, and for each Dockerfile who builds it and why. */
export function findingsOf(tree: Tree, files: readonly string[]): readonly string[] {
  const readText = (file: string) => (tree.exists(file) ? (tree.read(file, 'utf8') ?? undefined) : undefined);
  const workspace = readWorkspace(tree.root, files, {
    text: readText,
    header: (file) => scanGoFile(tree.read(file) ?? new Uint8Array(), file),
  });
  const { projects } = workspace;
  if (projects.length === 0) return [];
  const sources = {
    ...workspace,
    workspaceRoot: tree.root,
    options: {},
    nxJson: readNxJson(tree) ?? {},
    warn: () => {},
    nxMajor: 24,
  };
  const modules = new Set(projects.map(({ module }) => module.dir)).size;
  const programs = projects.filter(({ main }) => main !== undefined);
  const libraries = projects.length - programs.length;
  const kinds = [
    ...(programs.length > 0 ? [count(programs.length, 'program')] : []),
    ...(libraries > 0 ? [count(libraries, 'librar', 'ies', 'y')] : []),
  ];
  const lines = [`slim-go found ${kinds.join(' and ')} in ${count(modules, 'Go module')}.`];
  if (programs.length > 0) lines.push(`  ${list(programs.map(({ name }) => name))}`);
  const built = new Map<string, string>();
  for (const program of programs) {
    const dockerfile = buildTarget(program, sources)?.dockerfile;
    if (dockerfile !== undefined && readText(dockerfile) !== undefined) built.set(dockerfile, program.name);
  }
  for (const [file, name] of [...built].slice(0, named))
    lines.push(`  ${file}: ${engineOf(readText(file)!, file, name)}`);
  if (built.size > named) lines.push(`  and ${built.size - named} more Dockerfiles`);
  const others = files.filter((file) => isDockerfile(file) && !built.has(file));
  if (others.length > 0) {
    lines.push(
      `  ${list(others)}: beside no program. To have one built, name it in a program's project.json: the options "dockerfile" and "context" of its target image.`,
    );
  }
  const bare = programs.find(({ name }) => ![...built.values()].includes(name));
  if (bare) lines.push(`  A program without a Dockerfile gets one by \`nx g slim-go:docker ${bare.main || '.'}\`.`);
  return lines;
}

function engineOf(text: string, file: string, project: string): string {
  try {
    const { reason } = describeDockerfile(text, file);
    return reason === undefined
      ? `image of ${project}, built without a container engine`
      : `image of ${project}, built by a container engine (line ${reason.line}: ${reason.instruction})`;
  } catch (error) {
    if (!(error instanceof SlimGoError)) throw error;
    return error.message;
  }
}

function count(number: number, word: string, plural = 's', singular = ''): string {
  return `${number} ${word}${number === 1 ? singular : plural}`;
}

function list(names: readonly string[]): string {
  const rest = names.length - named;
  return rest > 1 ? `${names.slice(0, named).join(', ')} and ${rest} more` : names.join(', ');
}
