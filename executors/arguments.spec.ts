import { programArguments } from './arguments';

const options = new Set(['memory', 'readOnly', 'detach', 'args', 'env']);

describe('programArguments', () => {
  it.each([
    ['everything that is no option', ['--any', '--flags', 'file', '-x', '1'], ['--any', '--flags', 'file', '-x', '1']],
    ['no option with its value', ['--memory=64m', '--verbose', '--memory', '1g', 'file'], ['--verbose', 'file']],
    ['no field of an option', ['--env.PORT=1', '--env.PORT', '2', '--log.level=3'], ['--log.level=3']],
    ['no option in kebab case', ['--read-only', '--detach', '--go'], ['--go']],
    ['no negated option, and what follows it', ['--no-detach', 'file'], ['file']],
    ['values with line ends and spaces as they are', ['--text=a b\nc', 'd e'], ['--text=a b\nc', 'd e']],
    ['nothing of args', ['--args=--memory=1'], []],
  ])('passes on %s', (_, unparsed, expected) => {
    expect(programArguments(unparsed, options)).toEqual(expected);
  });
});
