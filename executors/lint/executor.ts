import { relative, resolve } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { SlimGoError } from '../../errors';
import { goLint, type ResolvedLint } from '../../go/lint';
import { lintConfig } from '../../go/lint-config';
import { currentProject } from '../project';
import { modulePackages, toolExecutorOf } from '../tool-executor';
import type { LintOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = LintOptions & Required<Omit<LintOptions, 'config'>>;

/** `slim-go:lint`: nothing to complain of, or what and where. */
export default toolExecutorOf<Options>(async ({ options, context, print }, call) => {
  const lint = resolveLint(options, context);
  await goLint(lint, call);
  print(`${lint.linter === 'vet' ? 'go vet and gofmt' : lint.linter}: nothing to complain of\n`);
});

/** @throws OPTION_INVALID, GO_FILE_INVALID */
function resolveLint({ linter, config, packages, buildTags, args }: Options, context: ExecutorContext): ResolvedLint {
  const rewriting = args.find((arg) => /^--?fix(?!=false$)/.test(arg));
  if (rewriting !== undefined) {
    throw new SlimGoError('OPTION_INVALID', `args: ${rewriting} rewrites files, and lint never does.`, {
      hint: 'Run the linter itself with it, or the target format.',
    });
  }
  const project = currentProject(context);
  const find = (name: 'golangci-lint' | 'staticcheck') => lintConfig(name, project.folder, context.root);
  const stated = config === undefined ? undefined : resolve(context.root, config);
  const chosen =
    linter !== 'auto'
      ? linter
      : stated !== undefined || find('golangci-lint') !== undefined
        ? 'golangci-lint'
        : find('staticcheck') !== undefined
          ? 'staticcheck'
          : 'vet';
  if (stated !== undefined && chosen !== 'golangci-lint') {
    throw new SlimGoError('OPTION_INVALID', `config: ${relative(context.root, stated)} is not for ${chosen}.`, {
      hint: 'It names a configuration of golangci-lint: staticcheck finds its own, and go vet has none.',
    });
  }
  // Two of them contradict each other, and only one is an input.
  const other = chosen === 'golangci-lint' ? args.find((arg) => /^(-c|--(no-)?config)(=|$)/.test(arg)) : undefined;
  if (other !== undefined) {
    throw new SlimGoError('OPTION_INVALID', `args: ${other} is set by lint itself.`, {
      hint: 'Name the configuration in the option config: then a change of it is no cache hit.',
    });
  }
  return {
    ...modulePackages(project, packages),
    linter: chosen,
    config: stated ?? (chosen === 'vet' ? undefined : find(chosen)),
    tags: buildTags,
    args,
  };
}
